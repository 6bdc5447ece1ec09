//! `udasa score CONFIG --watch [CRATE]…`: the author's loop. Edit a scorer or its settings, save, and see what changed.
//!
//! In: the config, the plugin directory, and the crates whose plugins are edited. Out: plain lines on stdout, and the crates'
//! plugins in the plugin directory. It writes nothing else and takes no lock: the run's records stay as they are until
//! `udasa score` is called without it. It loads no model: a sample with a question that nobody has answered is left out and
//! counted. Whatever is wrong with a crate, a plugin, the config or the samples is shown, and the next change tried.
//!
//! A change is first built as fast as it goes (the compiler's own cache, several code generation units), shown, and when
//! the author pauses built as `udasa plugin build` does, so that the directory ends with the same bytes.

mod changes;
mod files;
mod pass;
mod show;
mod state;

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use super::prepare::{Options, resolved, shown};
use crate::error::UserError;
use crate::plugin;
use files::{Stamps, changed};
use pass::Kept;
use state::State;

/// Between two looks at the files.
const POLL: Duration = Duration::from_millis(50);
/// An editor may write a file in several steps.
const SETTLE: Duration = Duration::from_millis(20);
/// A pause of the author's, long enough for the full build.
const PAUSE: Duration = Duration::from_millis(1500);

/// Watches until stdout is closed or the process ended. `complain` shows an error.
pub fn watch(options: &Options, crates: &[PathBuf], complain: &mut dyn FnMut(&anyhow::Error)) -> Result<()> {
    let Some(plugins) = options.plugins.clone() else {
        return Err(UserError::new("there is no plugin directory")
            .hint("give one with --plugins DIR, or set UDASA_PLUGINS")
            .into());
    };
    if let Some(folder) = crates.iter().find(|folder| !folder.join("Cargo.toml").is_file()) {
        return Err(UserError::new(format!("{} is not the folder of a crate", folder.display()))
            .hint("give the folder that holds the plugin's Cargo.toml, or none to watch the plugin directory alone")
            .into());
    }
    // Where the config is broken for now, its run folder is not known: digests are then made anew.
    let run = resolved(options).map(|(_, run)| run).unwrap_or_default();
    let mut watch = Watch {
        options,
        crates,
        plugins,
        run: run.clone(),
        kept: Kept::new(&run),
        state: None,
        sources: Stamps::new(),
        inputs: Stamps::new(),
        read: Vec::new(),
        quick_since: None,
    };
    if !print(&watch.greeting())? {
        return Ok(());
    }
    loop {
        let text = watch.step(complain);
        if text.is_empty() {
            std::thread::sleep(POLL);
        } else if !print(&text)? {
            return Ok(());
        }
    }
}

struct Watch<'a> {
    options: &'a Options,
    crates: &'a [PathBuf],
    plugins: PathBuf,
    run: PathBuf,
    kept: Kept,
    /// What the last pass found.
    state: Option<State>,
    /// As they were before the last build.
    sources: Stamps,
    /// As they were before the last pass.
    inputs: Stamps,
    /// Further files that the last pass read.
    read: Vec<PathBuf>,
    /// A quick build lies in the plugin directory since then.
    quick_since: Option<Instant>,
}

impl Watch<'_> {
    fn greeting(&self) -> String {
        let crates = self.crates.iter().map(|folder| folder.display().to_string());
        let all: Vec<String> =
            crates.chain([shown(&self.options.config), format!("{}/*.wasm", shown(&self.plugins))]).collect();
        format!("watching {}; Ctrl-C ends\n", all.join(", "))
    }

    /// Looks once; builds and scores where something changed. What is to be said, or nothing.
    fn step(&mut self, complain: &mut dyn FnMut(&anyhow::Error)) -> String {
        let (sources, inputs) = (self.look_at_sources(), self.look_at_inputs());
        let new_sources: Vec<PathBuf> = changed(&self.sources, &sources).into_iter().map(Path::to_owned).collect();
        let new_inputs: Vec<PathBuf> = changed(&self.inputs, &inputs).into_iter().map(Path::to_owned).collect();
        if new_sources.is_empty() && new_inputs.is_empty() {
            return self.finish(complain);
        }
        std::thread::sleep(SETTLE);
        if sources != self.look_at_sources() || inputs != self.look_at_inputs() {
            return String::new();
        }
        let first = self.sources.is_empty() && self.inputs.is_empty();
        let saved = new_sources.iter().chain(&new_inputs).filter_map(|path| Some(files::stamp(path)?.0)).max();
        let mut out = headline(if first { &[] } else { &new_sources }, if first { &[] } else { &new_inputs });
        let mut took = Vec::new();
        if !new_sources.is_empty() {
            self.sources = sources;
            let began = Instant::now();
            match plugin::build_quick(self.crates, &self.plugins) {
                Ok(_) => {
                    took.push(format!("built in {}", show::seconds(began.elapsed())));
                    self.quick_since = Some(Instant::now());
                }
                Err(error) => {
                    complain(&error);
                    out += "  not built: the plugins are as they were\n";
                    // A changed input is a pass of its own; without one there is nothing new to show.
                    if new_inputs.is_empty() {
                        return out;
                    }
                }
            }
        }
        let began = Instant::now();
        self.inputs = self.look_at_inputs();
        let mut read = Stamps::new();
        let found = self.kept.pass(self.options, self.state.as_ref(), &mut read);
        if !read.is_empty() {
            self.inputs.retain(|path, _| !self.read.contains(path));
            self.read = read.keys().cloned().collect();
            self.inputs.extend(read);
        }
        match found {
            Ok(pass) => {
                took.push(format!("scored in {}", show::seconds(began.elapsed())));
                self.run = pass.run.clone();
                show::pass(&mut out, &pass, self.kept.samples());
                self.state = Some(pass.state);
            }
            Err(error) => {
                complain(&error);
                out += "  not scored\n";
            }
        }
        let since = saved.filter(|_| !first).and_then(|saved| SystemTime::now().duration_since(saved).ok());
        let since = since.map_or(String::new(), |since| format!(", shown {} after the save", show::seconds(since)));
        let _ = writeln!(out, "  {}{since}", took.join(", "));
        out
    }

    /// After a pause, what was built quickly is built in full.
    fn finish(&mut self, complain: &mut dyn FnMut(&anyhow::Error)) -> String {
        if self.quick_since.is_none_or(|since| since.elapsed() < PAUSE) {
            return String::new();
        }
        self.quick_since = None;
        match plugin::build_quietly(self.crates, &self.plugins) {
            Ok(built) => {
                // The same plugin in other bytes: nothing to score.
                self.inputs.extend(files::plugins(&self.plugins));
                let line = |b: &plugin::Built| format!("  in full: {}  sha256 {}\n", shown(&b.path), b.sha256);
                built.iter().map(line).collect()
            }
            Err(error) => {
                complain(&error);
                String::new()
            }
        }
    }

    fn look_at_sources(&self) -> Stamps {
        let made = [self.plugins.as_path(), self.run.as_path()];
        self.crates.iter().flat_map(|folder| files::of_crate(folder, &made)).collect()
    }

    fn look_at_inputs(&self) -> Stamps {
        let mut all = files::plugins(&self.plugins);
        all.extend(files::stamps([&self.options.config].into_iter().chain(&self.read)));
        all
    }
}

/// Which files changed.
fn headline(sources: &[PathBuf], inputs: &[PathBuf]) -> String {
    let names: Vec<String> = sources.iter().chain(inputs).take(3).map(|path| shown(path)).collect();
    match (names.len(), sources.len() + inputs.len()) {
        (0, _) => String::new(),
        (shown, all) if all > shown => format!("{} and {} more changed\n", names.join(", "), all - shown),
        _ => format!("{} changed\n", names.join(", ")),
    }
}

/// To stdout at once, whatever it is; false where nobody reads it any more.
fn print(text: &str) -> Result<bool> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("writing to stdout"),
    }
}
