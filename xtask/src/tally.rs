//! Sums what test binaries say about themselves, line by line as it streams past.

/// Counts over all test binaries of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    /// Tests that passed without testing, for want of something they name.
    pub skipped: u64,
    /// A binary has announced its tests and not yet closed with a result.
    running: bool,
}

impl Tally {
    pub fn line(&mut self, line: &str) {
        if let Some(result) = line.trim_start().strip_prefix("test result: ") {
            self.passed += number_before(result, "passed");
            self.failed += number_before(result, "failed");
            self.ignored += number_before(result, "ignored");
            self.running = false;
        } else if line.starts_with("running ") && line.trim_end().ends_with(['t', 's']) {
            self.close();
            self.running = number_before(line, "test") + number_before(line, "tests") > 0;
        } else if line.contains("skipped: ") {
            self.skipped += 1;
        }
    }

    /// A binary that died before its result counts as one failure, or a crash would pass unseen.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.running) {
            self.failed += 1;
        }
    }

    pub fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

/// The number in front of a word: 12 in `ok. 12 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';', ',', '\n']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.line(line));
        tally.close();
        tally
    }

    #[test]
    fn results_of_all_binaries_are_summed() {
        let tally = tally(
            "running 3 tests\n\
             test a ... ok\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s\n\
             running 1 test\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             running 0 tests\n\
             test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((tally.passed, tally.failed, tally.ignored), (2, 1, 1));
        assert_eq!(tally.closing_line(), "2 passed, 1 failed");
    }

    #[test]
    fn a_binary_that_dies_is_a_failure() {
        assert_eq!(tally("running 3 tests\ntest a ... ok\n").failed, 1);
        let then_another = tally("running 3 tests\nrunning 1 test\ntest result: ok. 1 passed; 0 failed\n");
        assert_eq!((then_another.passed, then_another.failed), (1, 1));
    }

    #[test]
    fn skipped_tests_are_seen_wherever_their_line_begins() {
        let tally = tally("skipped: a: no shared data\ntest b ... skipped: b: no GPU\n");
        assert_eq!(tally.skipped, 2);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(tally(""), Tally::default());
    }
}
