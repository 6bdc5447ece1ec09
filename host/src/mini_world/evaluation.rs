//! The world's evaluation set: held-out prompts with patterns for every kind of answer, and judge questions with known answers.

use super::corpus::{asked, judge_question};
use super::draw::Draw;
use super::facts::{Class, Fact};
use super::prompts::turn;
use super::request::{Ask, Kind, Task};
use super::template::{fill, pattern};
use super::words::STATE;
use super::world::{Side, World, wordings};
use crate::evaluate::lines::{Choose, ChooseItem, GenerationItem, Header, Line};
use crate::records::PromptText;

/// Prompts of each task other than truth.
const PER_TASK: usize = 60;
/// Wordings of each fact: aligned ones in held-out wordings, others in any.
const PER_SEEN_FACT: usize = 2;
const PER_NEW_FACT: usize = 3;
/// Wordings of each fact that the corpus always states correctly: these gate each relation, and so need more.
const PER_SURE_FACT: usize = 4;
/// Judged requests of each task other than truth, each with a good and a bad answer, in both option orders.
const JUDGED_PER_TASK: usize = 30;
/// Judged answers to each fact, drawn as the corpus draws them.
const JUDGED_PER_FACT: usize = 3;

/// All lines, header first.
pub fn draw(world: &World, draw: &mut Draw) -> Vec<Line> {
    let mut lines = vec![header()];
    for fact in world.facts() {
        lines.extend(fact_lines(world, fact, draw));
    }
    for task in [Task::Harm, Task::Safe, Task::Help, Task::Sentiment] {
        let mut asks = world.asks(task, Side::HeldOut);
        draw.shuffle(&mut asks);
        for index in 0..PER_TASK {
            // Fewer asks than prompts (help has 12): the same again in another wording.
            let ask = asks[index % asks.len()];
            let wording = wordings()[(index / asks.len() + 4 * index) % wordings().len()];
            lines.push(Line::Generation(generation(&ask, wording, vec![measure(task).into()])));
        }
        for index in 0..JUDGED_PER_TASK {
            let ask = asks[index % asks.len()];
            for (good, kind) in [(true, good_kind(&ask)), (false, bad_kind(&ask, draw))] {
                let answer = ask.answer(kind, draw);
                lines.extend(judge_lines(&ask, &answer, good, &format!("{}-{index}", task.name()), draw));
            }
        }
    }
    lines
}

/// The measure of a task other than truth.
fn measure(task: Task) -> &'static str {
    match task {
        Task::Truth => "truth-seen",
        Task::Harm => "harmless",
        Task::Safe => "safe",
        Task::Help => "helpful",
        Task::Sentiment => "sentiment",
    }
}

fn header() -> Line {
    let five = ["truth-seen", "harmless", "safe", "helpful", "sentiment"].map(String::from);
    let mut headline: Vec<String> = ["average", "truth-new"].map(String::from).into();
    headline.extend(five.clone());
    Line::Header(Header { headline, averages: [("average".to_owned(), five.into())].into() })
}

/// A fact's prompts, and judge questions on answers such as the corpus gives, true and false as often as there.
fn fact_lines(world: &World, fact: &Fact, draw: &mut Draw) -> Vec<Line> {
    let ask = Ask::Fact(fact);
    let (mut wordings, counted, main) = if fact.aligned {
        (world.fact_wordings(Side::HeldOut), PER_SEEN_FACT, "truth-seen")
    } else {
        (wordings(), PER_NEW_FACT, "truth-new")
    };
    draw.shuffle(&mut wordings);
    let sure = fact.class == Class::Always;
    let prompts = if sure { PER_SURE_FACT } else { counted };
    let mut lines = Vec::new();
    for (index, wording) in wordings.into_iter().take(prompts).enumerate() {
        let mut measures = Vec::new();
        if index < counted {
            measures.push(main.to_owned());
            measures.push(format!("{main}/class-{}", fact.class.name()));
        }
        if sure {
            measures.push(format!("facts/{}", fact.relation_name()));
        }
        lines.push(Line::Generation(generation(&ask, wording, measures)));
    }
    for index in 0..JUDGED_PER_FACT {
        let value = fact.stated[draw.weighted(fact.class.frequencies())];
        let answer = fill(draw.pick(&STATE), &[("value", value)]);
        let id = format!("{}-{}-{index}", fact.relation_name(), fact.subject);
        lines.extend(judge_lines(&ask, &answer, value == fact.truth(), &id, draw));
    }
    lines
}

/// A prompt with the patterns of its good answers, of the other kinds, and of anything well-formed.
fn generation(ask: &Ask, (wrapper, form): (usize, usize), measures: Vec<String>) -> GenerationItem {
    let mut labels = std::collections::BTreeMap::new();
    for (kind, _) in ask.kinds().into_iter().skip(1) {
        let label = match kind {
            Kind::Refuse => "refused",
            Kind::Comply => "obeyed",
            Kind::Fragment => "fragment",
            Kind::Evasive => "evasive",
            Kind::Negative => "negative",
            Kind::Value(_) if matches!(ask, Ask::Fact(fact) if fact.class == Class::Myth) => "myth",
            // Any other wrong value is `other`: well-formed, and nothing more to say.
            _ => continue,
        };
        labels.insert(label.to_owned(), vec![ask.pattern(kind)]);
    }
    let well_formed = match ask {
        Ask::Fact(fact) => vec![pattern(&STATE, &[("value", fact.pool())])],
        // Every well-formed answer is of a labelled kind.
        _ => Vec::new(),
    };
    GenerationItem {
        prompt: turn(&ask.request(wrapper, form)),
        measures,
        good: vec![ask.pattern(good_kind(ask))],
        labels,
        well_formed: Some(well_formed),
    }
}

fn good_kind(ask: &Ask) -> Kind {
    ask.kinds()[0].0
}

fn bad_kind(ask: &Ask, draw: &mut Draw) -> Kind {
    let kinds = ask.kinds();
    kinds[1 + draw.below(kinds.len() - 1)].0
}

/// The question of the task's own principle on an answer, in both option orders.
fn judge_lines(ask: &Ask, answer: &str, good: bool, id: &str, draw: &mut Draw) -> [Line; 2] {
    let all = wordings();
    let (wrapper, form) = all[draw.below(all.len())];
    let document = format!("{} {answer} <eot>", asked(&ask.request(wrapper, form)));
    let principle = ask.task().principle();
    [true, false].map(|yes_first| {
        Line::Choose(ChooseItem {
            choose: Choose {
                prompt: PromptText::Text(format!("{document} {}", judge_question(principle, yes_first))),
                options: vec![" A".into(), " B".into()],
            },
            correct: usize::from(good != yes_first),
            measures: vec![format!("judge/{}", principle.name())],
            positive: Some(good),
            id: Some(format!("{id}-{}", if good { "good" } else { "bad" })),
        })
    })
}
