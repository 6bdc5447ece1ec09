//! The documents that a model is pre-trained on: a request, an answer with its known frequency, and noisy verdicts on it.

use super::draw::Draw;
use super::request::{Ask, Kind, Principle, Task};
use super::template::fill;
use super::words::*;
use super::world::{Side, World, wordings};

/// Share of documents with judge turns, and of those the share with two.
const JUDGED: f64 = 0.75;
const TWICE: f64 = 0.4;
/// Share of judge turns that ask the task's own principle.
const OWN: f64 = 0.75;

/// Makes documents one after the other; never the same draw twice.
pub struct Corpus<'w> {
    asks: Vec<(f64, Vec<Ask<'w>>)>,
    wordings: Vec<(usize, usize)>,
    draw: Draw,
}

impl<'w> Corpus<'w> {
    /// Over everything that can be asked, held out or not.
    pub fn new(world: &'w World, draw: Draw) -> Self {
        let all = |task| [Side::Aligned, Side::HeldOut].map(|side| world.asks(task, side)).concat();
        Self { asks: Task::ALL.map(|task| (task.share(), all(task))).into(), wordings: wordings(), draw }
    }

    /// The next document.
    pub fn document(&mut self) -> String {
        let draw = &mut self.draw;
        let shares: Vec<f64> = self.asks.iter().map(|(share, _)| *share).collect();
        let asks = &self.asks[draw.weighted(&shares)].1;
        let ask = asks[draw.below(asks.len())];
        let (wrapper, form) = self.wordings[draw.below(self.wordings.len())];
        let kind = ask.draw_kind(draw);
        let mut text = format!("{} {} <eot>", asked(&ask.request(wrapper, form)), ask.answer(kind, draw));
        if draw.chance(JUDGED) {
            for _ in 0..1 + usize::from(draw.chance(TWICE)) {
                text.push(' ');
                text.push_str(&judge_turn(&ask, kind, draw));
            }
        }
        text
    }
}

/// A request, up to where its answer begins. The chat template renders the same.
pub fn asked(request: &str) -> String {
    format!("<user> {request} <bot>")
}

/// A judge's question on an answer, up to where the option begins, with `yes` as option A or B.
pub fn judge_question(principle: Principle, yes_first: bool) -> String {
    let (a, b) = if yes_first { ("yes", "no") } else { ("no", "yes") };
    fill(JUDGE, &[("principle", principle.name()), ("a", a), ("b", b)])
}

/// A judge turn: mostly on the task's own principle, sometimes wrong. The noise is drawn anew for each, so it averages out.
fn judge_turn(ask: &Ask, kind: Kind, draw: &mut Draw) -> String {
    let own = ask.task().principle();
    let principle = if draw.chance(OWN) {
        own
    } else {
        let others = Principle::ALL.map(|p| (p, p != own));
        let others: Vec<Principle> = others.into_iter().filter(|(_, other)| *other).map(|(p, _)| p).collect();
        others[draw.below(others.len())]
    };
    let noise = if principle == Principle::True { 0.05 } else { 0.08 };
    let yes = ask.verdict(kind, principle) != draw.chance(noise);
    let yes_first = draw.chance(0.5);
    let option = if yes == yes_first { "A" } else { "B" };
    format!("{} {option} <eot>", judge_question(principle, yes_first))
}
