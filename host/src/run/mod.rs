//! The run room: takes a config through the rooms, and is the only module that sees them all.
//!
//! In: what the command line asks for ([`Options`]). Out: a run folder. Each room is one function of a [`Context`]; whether it
//! is called is decided by its key ([`keys`]) and the folder's records ([`folder`]). Everything that can be checked without
//! loading a model is checked before the first room begins ([`prepare`]).

mod answerers;
mod digests;
mod folder;
mod keys;
mod measuring;
mod model_rooms;
mod plan;
mod plugins;
mod prepare;
mod record;
mod resample;
mod room;
mod rooms;
mod training;
mod verify;
mod watch;

use std::time::Instant;

use anyhow::Result;

pub use folder::{Begin, Records, RoomRecord, RunFolder};
pub use keys::Keys;
pub use plan::plan;
pub use plugins::Plugins;
pub use prepare::Options;
pub use room::Room;
pub use verify::verify;
pub use watch::watch;

use crate::config::Config;
use crate::progress::{duration, say};
use prepare::{Prepared, resolved, shown};

/// What a room works with.
pub struct Context {
    /// The checked config.
    pub cfg: Config,
    /// The run folder, locked.
    pub folder: RunFolder,
    /// The plugins, ready to be called.
    pub plugins: Plugins,
    /// Of the rooms, the scorers and the model.
    pub keys: Keys,
}

/// Runs the rooms of a config, up to the last one asked for. Rooms whose key is recorded as complete are kept.
pub fn run(options: &Options) -> Result<()> {
    let prepared = Prepared::new(options)?;
    let mut folder = RunFolder::open(&prepared.path)?;
    record::write(&prepared, options)?;
    prepared.digests.write(&prepared.path)?;
    if let Some(from) = options.from {
        folder.forget_from(from)?;
    }
    let mut ctx = Context { cfg: prepared.cfg, folder, plugins: prepared.plugins, keys: prepared.keys };
    for room in prepared.rooms {
        enter(&mut ctx, room)?;
    }
    say("done", &shown(&prepared.path));
    Ok(())
}

/// Writes the report of whatever the run folder of a config holds. Runs no other room.
pub fn report(options: &Options) -> Result<()> {
    // No room runs, so no section is needed for the sake of one.
    let (_, path) = resolved(&Options { until: Room::World, ..options.clone() })?;
    crate::report::write(&path)?;
    say("report", &shown(&path.join("report.html")));
    Ok(())
}

fn enter(ctx: &mut Context, room: Room) -> Result<()> {
    let Some(key) = ctx.keys.rooms.get(&room).cloned() else {
        let written = rooms::report(ctx)?;
        say(room.name(), &written);
        return Ok(());
    };
    let begin = ctx.folder.begin(room, &key)?;
    if begin == Begin::Skip {
        say(room.name(), "unchanged, kept");
        return Ok(());
    }
    let started = Instant::now();
    let summary = match room {
        Room::World => rooms::world(ctx),
        Room::Data => rooms::data(ctx),
        Room::Sft => model_rooms::sft(ctx),
        Room::Generate => rooms::generate(ctx),
        Room::Score => rooms::score(ctx),
        Room::Pair => rooms::pair(ctx),
        Room::Stage => rooms::stage(ctx),
        Room::Train => training::train(ctx),
        Room::Evaluate => model_rooms::evaluate(ctx),
        Room::Report => rooms::report(ctx),
    }?;
    say(room.name(), &format!("{summary}  ({})", duration(started.elapsed())));
    ctx.folder.complete(room, summary)
}
