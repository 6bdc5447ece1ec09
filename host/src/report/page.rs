//! Puts the sections into the HTML template. The template escapes every value; only the plots and the style sheet, which are
//! made here and in [`super::plot`], are passed through (`|safe`).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::evidence::{self, Evidence};
use super::read::{Found, RunFiles};
use super::sections::examples::Example;
use super::sections::{
    diagnostics, examples, gaps, gates, headline, health, pairs, plugins, provenance, summary, training, uncertainty,
};

/// (name, source) of every template file.
const TEMPLATES: [(&str, &str); 9] = [
    ("page.html", include_str!("templates/page.html")),
    ("macros.html", include_str!("templates/macros.html")),
    ("outcome.html", include_str!("templates/outcome.html")),
    ("distributions.html", include_str!("templates/distributions.html")),
    ("training.html", include_str!("templates/training.html")),
    ("examples.html", include_str!("templates/examples.html")),
    ("diagnostics.html", include_str!("templates/diagnostics.html")),
    ("plugins.html", include_str!("templates/plugins.html")),
    ("provenance.html", include_str!("templates/provenance.html")),
];

/// The whole page.
pub fn render(run: &Path) -> Result<String> {
    let files = RunFiles::read(run);
    let picks = examples::pick(&files);
    let evidence = evidence::collect(run, &prompts(&picks));
    let sections = context! {
        css => include_str!("templates/style.css"),
        summary => Serde(summary::summary(run, &files, &evidence)),
        headline => section(headline::headline(&files)),
        gates => section(gates::gates(&files)),
        health => section(health::health(&files)),
        uncertainty => section(uncertainty::uncertainty(&files)),
        raw => section(uncertainty::raw(&evidence)),
        gaps => section(gaps::gaps(&files)),
        training => section(training::training(&files)),
        outcomes => section(training::outcomes(&files)),
        pairs => section(pairs::pairs(&files, &evidence)),
        examples => section(all_examples(run, &files, &evidence, &picks)),
        diagnostics => section(diagnostics::diagnostics(&files, &evidence)),
        scorers => section(diagnostics::scorers(&evidence)),
        plugins => section(plugins::plugins(&files)),
        provenance => Serde(provenance::provenance(&files)),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .context("setting up the report's template")?;
    environment.set_syntax(syntax);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).with_context(|| format!("reading the report's template {name}"))?;
    }
    environment
        .get_template("page.html")
        .and_then(|page| page.render(sections))
        .context("filling the report's template")
}

fn prompts(picks: &[examples::Pick]) -> BTreeSet<String> {
    picks.iter().map(|pick| pick.prompt_id.clone()).collect()
}

/// Of the run's own pairs, and of those that were made before a stage.
fn all_examples(run: &Path, files: &RunFiles, evidence: &Evidence, picks: &[examples::Pick]) -> Found<Vec<Example>> {
    let mut all = examples::examples(files, evidence, picks);
    for (folder, files) in files.resampled(run) {
        let picks = examples::pick(&files);
        let evidence = evidence::collect(&folder, &prompts(&picks));
        match (&mut all, examples::examples(&files, &evidence, &picks)) {
            (Ok(all), Ok(more)) => all.extend(more),
            (none, Ok(more)) => *none = Ok(more),
            (_, Err(_)) => {}
        }
    }
    all
}

/// A section in the template: its data, or why there is none.
fn section<T: Serialize>(found: Found<T>) -> Value {
    match found {
        Ok(data) => context! { data => Serde(data), absent => Value::from(()) },
        Err(absent) => context! { data => Value::from(()), absent => absent.0 },
    }
}
