//! How long a plugin takes to be ready when its code is cached.

use anyhow::Result;

use super::{Bench, Row, least};
use crate::sandbox::inspect;

const BATCHES: usize = 200;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut times = Vec::new();
    for plugin in bench.plugins.list() {
        let time = least(BATCHES, || inspect(&plugin.path).map(drop))?;
        times.push((time.as_secs_f64() * 1e3, plugin.description.name.as_str(), plugin.bytes));
    }
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    let list = times.iter().map(|(ms, name, bytes)| format!("{name} {ms:.2} ({} KiB)", bytes / 1024));
    Ok(vec![Row {
        name: "start, slowest".into(),
        value: times.first().map_or(0.0, |slowest| slowest.0),
        unit: "ms",
        note: format!("code cached; target: at most 1; {}", list.collect::<Vec<_>>().join(", ")),
    }])
}
