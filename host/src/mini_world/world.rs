//! A world drawn from a seed: its facts, and what alignment never sees.
//!
//! Everything occurs in pre-training; what is held out occurs in no alignment prompt, so that evaluation measures what carries over.

use super::draw::{Draw, Purpose};
use super::facts::{self, Fact};
use super::request::{Ask, Task};
use super::words::*;

/// Facts and the held-out parts.
pub struct World {
    facts: Vec<Fact>,
    /// Which of each opening's three forms is held out, before rotating by the opening.
    held_form: usize,
    harm: Held,
    safe: Held,
    help: Held,
    sentiment: Held,
}

/// Which asks, or which wordings of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Alignment prompts are drawn from these.
    Aligned,
    /// Alignment never sees these.
    HeldOut,
}

/// A grid of combinations, a quarter of which is held out.
struct Held {
    columns: usize,
    out: Vec<bool>,
}

impl Held {
    fn draw(rows: usize, columns: usize, draw: &mut Draw) -> Self {
        let size = rows * columns;
        let mut out: Vec<bool> = (0..size).map(|index| index < size / 4).collect();
        draw.shuffle(&mut out);
        Self { columns, out }
    }

    fn side(&self, row: usize, column: usize) -> Side {
        if self.out[row * self.columns + column] { Side::HeldOut } else { Side::Aligned }
    }
}

impl World {
    /// Draws the world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed, Purpose::World);
        Self {
            facts: facts::draw(&mut draw),
            held_form: draw.below(FACT_FORMS.len()),
            harm: Held::draw(HARMFUL.len(), OBJECTS.len(), &mut draw),
            safe: Held::draw(HARMLESS.len(), OBJECTS.len(), &mut draw),
            help: Held::draw(INGREDIENTS.len(), DISHES.len(), &mut draw),
            sentiment: Held::draw(VENUES.len(), PLACES.len(), &mut draw),
        }
    }

    /// All facts.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// What can be asked of a task on one side. Facts that are never aligned are the held-out side of truth.
    pub fn asks(&self, task: Task, side: Side) -> Vec<Ask<'_>> {
        let acts = |harmful: bool, verbs: &'static [&'static str; 6], held: &Held| {
            let pairs = grid(verbs, &OBJECTS, held, side);
            pairs
                .into_iter()
                .flat_map(|(verb, object)| PLACES.map(|place| Ask::Act { harmful, verb, object, place }))
                .collect()
        };
        match task {
            Task::Truth => {
                let wanted = side == Side::Aligned;
                self.facts.iter().filter(|fact| fact.aligned == wanted).map(Ask::Fact).collect()
            }
            Task::Harm => acts(true, &HARMFUL, &self.harm),
            Task::Safe => acts(false, &HARMLESS, &self.safe),
            Task::Help => grid(&INGREDIENTS, &DISHES, &self.help, side)
                .into_iter()
                .map(|(ingredient, dish)| Ask::Dish { dish, ingredient })
                .collect(),
            Task::Sentiment => grid(&VENUES, &PLACES, &self.sentiment, side)
                .into_iter()
                .map(|(venue, place)| Ask::Venue { venue, place })
                .collect(),
        }
    }

    /// The wordings (opening, form) of questions for facts on one side: a third is held out, one form of each opening.
    pub fn fact_wordings(&self, side: Side) -> Vec<(usize, usize)> {
        let held = |&(wrapper, form): &(usize, usize)| (wrapper + form) % FACT_FORMS.len() == self.held_form;
        wordings().into_iter().filter(|wording| held(wording) == (side == Side::HeldOut)).collect()
    }
}

/// All wordings (opening, form).
pub fn wordings() -> Vec<(usize, usize)> {
    (0..WRAPPERS.len()).flat_map(|wrapper| (0..FACT_FORMS.len()).map(move |form| (wrapper, form))).collect()
}

fn grid(
    rows: &'static [&'static str],
    columns: &'static [&'static str],
    held: &Held,
    side: Side,
) -> Vec<(&'static str, &'static str)> {
    rows.iter()
        .enumerate()
        .flat_map(|(r, row)| columns.iter().enumerate().map(move |(c, column)| (r, c, *row, *column)))
        .filter(|&(r, c, _, _)| held.side(r, c) == side)
        .map(|(_, _, row, column)| (row, column))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini_world::facts::Class;

    #[test]
    fn there_are_sixty_facts_fifteen_of_each_class_and_a_third_of_them_is_never_aligned() {
        let world = World::new(7);
        assert_eq!(world.facts().len(), 60);
        for class in Class::ALL {
            let of_class: Vec<&Fact> = world.facts().iter().filter(|f| f.class == class).collect();
            assert_eq!(of_class.len(), 15);
            assert_eq!(of_class.iter().filter(|f| f.aligned).count(), 10);
        }
        for fact in world.facts() {
            let mut stated = fact.stated.clone();
            stated.dedup();
            assert_eq!(stated.len(), fact.class.frequencies().len());
            assert!(stated.iter().all(|value| fact.pool().contains(value)));
        }
    }

    #[test]
    fn a_quarter_of_the_combinations_and_a_third_of_the_wordings_are_held_out() {
        let world = World::new(7);
        let count = |task, side| world.asks(task, side).len();
        for (task, aligned, held) in [
            (Task::Truth, 40, 20),
            (Task::Harm, 45 * 12, 15 * 12),
            (Task::Safe, 45 * 12, 15 * 12),
            (Task::Help, 36, 12),
            (Task::Sentiment, 72, 24),
        ] {
            assert_eq!((count(task, Side::Aligned), count(task, Side::HeldOut)), (aligned, held), "{task:?}");
        }
        assert_eq!(world.fact_wordings(Side::HeldOut).len(), 5);
        assert_eq!(world.fact_wordings(Side::Aligned).len(), 10);
    }
}
