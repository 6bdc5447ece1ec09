//! Wording with named places: `{prompt}`, `{response}`, `{principle}`, `{first}`, `{second}`.

use crate::Problem;

/// Fills the places in one pass, so that a place's name inside a filled-in text stays as it is. Braces around anything
/// else are kept.
///
/// ```
/// let places = [("response", "a {prompt}"), ("prompt", "q")];
/// assert_eq!(udasa_plugin_sdk::template::fill("{prompt}: {response} {x}", &places), "q: a {prompt} {x}");
/// ```
pub fn fill(template: &str, places: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + places.iter().map(|(_, text)| text.len()).sum::<usize>());
    for part in parts(template) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Place { name, whole } => {
                filled.push_str(places.iter().find(|(place, _)| *place == name).map_or(whole, |(_, text)| text));
            }
        }
    }
    filled
}

/// What is wrong with a template: a place that must be there and is not, and a place that does not exist.
pub fn check(path: &str, template: &str, needed: &[&str], allowed: &[&str]) -> Vec<Problem> {
    let used: Vec<&str> = parts(template)
        .filter_map(|part| match part {
            Part::Place { name, .. } => Some(name),
            Part::Text(_) => None,
        })
        .collect();
    let missing = needed
        .iter()
        .filter(|name| !used.contains(name))
        .map(|name| Problem::new(path, format!("`{{{name}}}` is missing from the template")));
    let unknown = used.iter().filter(|name| !needed.contains(name) && !allowed.contains(name)).map(|name| {
        let all: Vec<String> = needed.iter().chain(allowed).map(|name| format!("`{{{name}}}`")).collect();
        Problem::new(path, format!("unknown place `{{{name}}}` in the template, known are {}", all.join(", ")))
    });
    missing.chain(unknown).collect()
}

enum Part<'a> {
    Text(&'a str),
    /// `{name}`, the name in lower-case ASCII letters.
    Place {
        name: &'a str,
        whole: &'a str,
    },
}

fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = place_start(rest).unwrap_or(rest.len());
        if start > 0 {
            let (text, after) = rest.split_at(start);
            rest = after;
            return Some(Part::Text(text));
        }
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        let (whole, after) = rest.split_at(end);
        rest = after;
        Some(Part::Place { name: whole.trim_matches(['{', '}']), whole })
    })
}

fn place_start(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(start, _)| start).find(|start| {
        let name = &text[start + 1..];
        let end = name.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(name.len());
        end > 0 && name[end..].starts_with('}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_that_are_no_place_are_kept() {
        let places = [("prompt", "P")];
        for (template, filled) in [
            ("{", "{"),
            ("{}", "{}"),
            ("{{prompt}}", "{P}"),
            ("{Prompt} {a b}", "{Prompt} {a b}"),
            ("", ""),
            ("é{prompt", "é{prompt"),
        ] {
            assert_eq!(fill(template, &places), filled);
        }
    }

    #[test]
    fn a_missing_and_an_unknown_place_are_problems() {
        let problems = check("template", "{promt} {first}", &["response", "first"], &["prompt"]);
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "template: `{response}` is missing from the template");
        assert_eq!(
            lines[1],
            "template: unknown place `{promt}` in the template, known are `{response}`, `{first}`, `{prompt}`"
        );
        assert!(check("", "{response}", &["response"], &["prompt"]).is_empty());
    }
}
