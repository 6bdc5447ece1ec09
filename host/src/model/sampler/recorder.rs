//! Rounds on a GPU: those of one shape are recorded once and launched as one, because launching a thousand small operations one by one
//! takes longer than doing them.

use anyhow::Result;
use tch::Tensor;

use super::super::shim::Graph;
use super::round::Round;
use crate::progress;

/// What a round of new tokens departs from, on the device.
pub struct Step {
    /// The newest token of each slot `[R, 1]`.
    pub ids: Tensor,
    /// Its position `[R, 1]`.
    pub positions: Tensor,
    /// Who writes where and who sees what.
    pub round: Round,
}

impl Step {
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.ids, &self.positions].into_iter().chain(self.round.tensors())
    }
}

/// The round recorded last.
#[derive(Default)]
pub struct Recorder {
    held: Option<Held>,
    warm: bool,
    off: bool,
}

struct Held {
    step: Step,
    graph: Graph,
    made: Tensor,
}

impl Recorder {
    /// What `compute` makes of the step. It must depend on nothing but the step and what stays where it is, and ask nothing of the host.
    pub fn run(&mut self, step: Step, compute: impl Fn(&Step) -> Tensor) -> Result<Tensor> {
        // The first round loads the kernels, which cannot be done while recording.
        if self.off || !std::mem::replace(&mut self.warm, true) {
            return Ok(compute(&step));
        }
        if let Some(held) = self.held.as_ref().filter(|held| held.step.round.shape() == step.round.shape()) {
            for (there, now) in held.step.tensors().zip(step.tensors()) {
                there.shallow_clone().copy_(now);
            }
            held.graph.replay()?;
            return Ok(held.made.shallow_clone());
        }
        match Graph::record(self.held.as_ref().map(|held| &held.graph), || compute(&step)) {
            Ok((graph, made)) => {
                let held = self.held.insert(Held { step, graph, made });
                held.graph.replay()?;
                Ok(held.made.shallow_clone())
            }
            Err(error) => {
                progress::say("generate", &format!("slower than it could be: this GPU records no rounds ({error:#})"));
                self.off = true;
                Ok(compute(&step))
            }
        }
    }
}
