//! A TOML file as a tree of values that remembers where each was written. No meaning: that is `schema`'s and `cross`'s.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// The tree, and the origin of every key in it.
#[derive(Debug, Clone)]
pub struct Document {
    /// The values.
    pub root: Value,
    origins: BTreeMap<String, Origin>,
}

impl Document {
    /// Reads TOML. A syntax error is one problem, with its line, its column and the line itself.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax_problems(text, &errors));
        }
        let mut reader = Reader { lines: LineStarts::of(text), origins: BTreeMap::new(), problems: Vec::new() };
        let root = reader.table(table.get_ref(), "");
        if reader.problems.is_empty() { Ok(Self { root, origins: reader.origins }) } else { Err(reader.problems) }
    }

    /// Where the value at a path was written: its own origin, or that of the nearest value around it.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return Some(origin);
            }
            path = parent(path)?;
        }
    }

    /// Forgets the origins at and below a path and gives it a new one.
    pub fn set_origin(&mut self, path: &str, origin: Origin) {
        self.origins.retain(|key, _| key != path && !is_below(key, path));
        self.origins.insert(path.to_owned(), origin);
    }

    /// The value at a path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut value = &self.root;
        for segment in segments(path) {
            value = match value {
                Value::Object(map) => map.get(&segment)?,
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// Takes the value at a path out of the tree. An array's element is not taken: it would renumber the others.
    pub fn remove(&mut self, path: &str) -> bool {
        let mut value = &mut self.root;
        let segments: Vec<String> = segments(path).collect();
        let Some((last, around)) = segments.split_last() else {
            return false;
        };
        for segment in around {
            let next = match value {
                Value::Object(map) => map.get_mut(segment),
                Value::Array(items) => segment.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
                _ => None,
            };
            let Some(next) = next else { return false };
            value = next;
        }
        match value {
            Value::Object(map) => map.remove(last).is_some(),
            _ => false,
        }
    }
}

/// A key below a path; quoted where it is not a bare TOML key.
pub fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The path around a path; none around a top-level key.
pub fn parent(path: &str) -> Option<&str> {
    let mut quoted = false;
    let mut cut = None;
    for (i, c) in path.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => cut = Some(i),
            _ => {}
        }
    }
    cut.map(|i| &path[..i])
}

fn is_below(path: &str, around: &str) -> bool {
    path.strip_prefix(around).is_some_and(|rest| rest.starts_with('.'))
}

/// The keys of a path, unquoted. Paths come from [`join`], so quotes stand only around a whole key.
fn segments(path: &str) -> impl Iterator<Item = String> {
    let mut out = Vec::new();
    let mut rest = Some(path).filter(|p| !p.is_empty());
    while let Some(path) = rest {
        let around = parent(path);
        let last = around.map_or(path, |around| &path[around.len() + 1..]);
        out.push(last.trim_matches('"').to_owned());
        rest = around;
    }
    out.into_iter().rev()
}

struct Reader {
    lines: LineStarts,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Reader {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Value {
        let mut out = Map::new();
        for (key, value) in table.iter() {
            let path = join(path, key.get_ref());
            let line = self.lines.line(key.span().start);
            self.origins.insert(path.clone(), Origin::Line(line));
            let value = self.value(value, &path);
            out.insert(key.get_ref().to_string(), value);
        }
        Value::Object(out)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Value {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => {
                let mut out = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let path = join(path, &i.to_string());
                    let line = self.lines.line(item.span().start);
                    self.origins.insert(path.clone(), Origin::Line(line));
                    out.push(self.value(item, &path));
                }
                Value::Array(out)
            }
            scalar => match plain(scalar) {
                Ok(value) => value,
                Err(message) => {
                    let mut problem = Problem::new(path, message);
                    let line = self.lines.line(value.span().start);
                    problem.origin = Some(Origin::Line(line));
                    self.problems.push(problem);
                    Value::Null
                }
            },
        }
    }
}

/// A whole TOML value without its origins, for `--set`.
pub fn value_of(value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| Ok((key.get_ref().to_string(), value_of(value.get_ref())?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        DeValue::Array(items) => {
            items.iter().map(|item| value_of(item.get_ref())).collect::<Result<_, _>>().map(Value::Array)
        }
        scalar => plain(scalar),
    }
}

fn plain(value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::String(text) => Ok(Value::String(text.to_string())),
        DeValue::Boolean(yes) => Ok(Value::Bool(*yes)),
        // No key takes a date, so a date is what someone wrote without quotes.
        DeValue::Datetime(date) => Ok(Value::String(date.to_string())),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix())
                .map(Value::from)
                .map_err(|_| format!("= {digits} is too large a whole number"))
        }
        DeValue::Float(number) => number
            .as_str()
            .replace('_', "")
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| format!("= {} must be a finite number", number.as_str())),
        DeValue::Array(_) | DeValue::Table(_) => Err("must be a single value".into()),
    }
}

/// One problem a line, the first: the parser's later ones are its attempts to find back.
fn syntax_problems(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut errors: Vec<&toml::de::Error> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut problems: Vec<Problem> = errors.into_iter().map(|e| syntax_problem(text, e)).collect();
    problems.dedup_by_key(|problem| problem.origin.clone());
    problems
}

fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let Some(span) = error.span() else {
        return Problem::new("", format!("TOML syntax: {}", error.message()));
    };
    let lines = LineStarts::of(text);
    let line = lines.line(span.start);
    let start = lines.start(line);
    let shown = text[start..].lines().next().unwrap_or_default();
    let before = text.get(start..span.start).unwrap_or_default();
    let column = before.chars().count();
    // Tabs stay tabs, so that the caret stands below its character.
    let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let mut problem = Problem::new(
        "",
        format!(
            "TOML syntax, column {}: {}\n    {shown}\n    {indent}^",
            column + 1,
            error.message().replace('\n', "; ")
        ),
    );
    problem.origin = Some(Origin::Line(line));
    problem
}

struct LineStarts(Vec<usize>);

impl LineStarts {
    fn of(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(i, _)| i + 1);
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    /// From 1.
    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    fn start(&self, line: usize) -> usize {
        self.0[line - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_remembers_its_line() {
        let document =
            Document::parse("a = 1\n[b]\n\"c/d\" = [1,\n 2]\n[[e]]\nf = 1\n[[e]]\nf = 2\n").expect("valid TOML");
        for (path, line) in [("a", 1), ("b", 2), ("b.\"c/d\"", 3), ("b.\"c/d\".1", 4), ("e.1.f", 8), ("e.1.missing", 7)]
        {
            assert_eq!(document.origin(path), Some(&Origin::Line(line)), "{path}");
        }
        assert_eq!(document.get("b.\"c/d\".1"), Some(&Value::from(2)));
    }

    #[test]
    fn a_syntax_error_shows_line_column_and_the_line() {
        let problems = Document::parse("a = 1\n\tb = = 2\n").expect_err("invalid TOML");
        let shown = problems[0].to_string();
        assert!(shown.starts_with("line 2: TOML syntax, column 6: "), "{shown}");
        assert!(shown.contains("\n    \tb = = 2\n    \t    ^"), "{shown}");
    }

    #[test]
    fn infinite_numbers_are_refused_where_they_stand() {
        let problems = Document::parse("a = 1\nb = inf\n").expect_err("no JSON for inf");
        assert_eq!(problems[0].to_string(), "line 2: b = inf must be a finite number");
    }
}
