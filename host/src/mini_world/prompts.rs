//! The prompts to align on: the corpus's mix of tasks, nothing held out, no prompt twice.

use anyhow::Result;

use super::draw::Draw;
use super::request::{Ask, Task};
use super::world::{Side, World, wordings};
use crate::data::prompt_id;
use crate::error::UserError;
use crate::records::{Message, Prompt, PromptText};

/// Draws this many prompts, tasks mixed.
///
/// # Errors
/// More prompts than the world has different ones.
pub fn draw(world: &World, count: usize, draw: &mut Draw) -> Result<Vec<Prompt>> {
    let mut prompts = Vec::with_capacity(count);
    for (task, wanted) in Task::ALL.into_iter().zip(counts(count)) {
        let wordings = if task == Task::Truth { world.fact_wordings(Side::Aligned) } else { wordings() };
        let mut all: Vec<(Ask, usize, usize)> = world
            .asks(task, Side::Aligned)
            .into_iter()
            .flat_map(|ask| wordings.iter().map(move |&(wrapper, form)| (ask, wrapper, form)))
            .collect();
        if wanted > all.len() {
            let most = (all.len() as f64 / task.share()) as usize;
            return Err(UserError::new(format!(
                "world.prompts = {count} needs {wanted} different prompts of the task {}, and the mini world has {}",
                task.name(),
                all.len()
            ))
            .hint(format!("ask for at most {most}"))
            .into());
        }
        draw.shuffle(&mut all);
        for (ask, wrapper, form) in all.into_iter().take(wanted) {
            prompts.push(prompt(&ask.request(wrapper, form), task)?);
        }
    }
    draw.shuffle(&mut prompts);
    Ok(prompts)
}

/// A request as a prompt: one user turn, its task as the group.
///
/// # Errors
/// None in practice.
pub fn prompt(request: &str, task: Task) -> Result<Prompt> {
    let prompt = turn(request);
    Ok(Prompt { id: prompt_id(&prompt), prompt, group: Some(task.name().to_owned()) })
}

/// One user turn.
pub fn turn(request: &str) -> PromptText {
    PromptText::Chat(vec![Message { role: "user".into(), content: request.into() }])
}

/// How many prompts of each task: shares rounded down, the rest to the largest remainders.
fn counts(total: usize) -> [usize; 5] {
    let exact = Task::ALL.map(|task| task.share() * total as f64);
    let mut counts = exact.map(|share| share as usize);
    let mut order = [0, 1, 2, 3, 4];
    order.sort_by(|&a, &b| (exact[b].fract()).total_cmp(&exact[a].fract()));
    let missing = total.saturating_sub(counts.iter().sum());
    for index in order.into_iter().cycle().take(missing) {
        counts[index] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini_world::draw::Purpose;

    #[test]
    fn the_mix_is_the_corpuss_and_adds_up() {
        assert_eq!(counts(512), [246, 72, 61, 67, 66]);
        assert_eq!(counts(1).iter().sum::<usize>(), 1);
        assert_eq!(counts(0), [0; 5]);
    }

    #[test]
    fn prompts_are_different_and_more_than_there_are_is_the_users_error() {
        let world = World::new(1);
        let prompts = draw(&world, 512, &mut Draw::new(1, Purpose::Prompts)).expect("512 prompts");
        let ids: std::collections::BTreeSet<&str> = prompts.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids.len(), 512);
        let error = draw(&world, 2000, &mut Draw::new(1, Purpose::Prompts)).expect_err("too many");
        assert!(error.downcast_ref::<UserError>().is_some_and(|e| e.hint.is_some()));
    }
}
