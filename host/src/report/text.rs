//! Text made fit to be seen: hostile responses without control characters, and numbers with a fixed look.
//!
//! HTML is escaped elsewhere (by the template and by [`super::plot::Svg`]); this module removes what escaping leaves: terminal
//! sequences, NUL, and the bidirectional overrides that make text read differently from what it is.

/// Shows control characters and bidirectional overrides instead of obeying them; keeps line breaks and tabs.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => out.push_str(&format!("⟨U+{:04X}⟩", c as u32)),
            _ => out.push(c),
        }
    }
    out
}

/// At most `limit` characters, with the number left out.
pub fn shortened(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit).collect();
    format!("{kept}… (and {})", counted(count - limit, "more character"))
}

/// Three significant digits, a real minus sign, thousands apart; `–` for what is not a number.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 => return "0".into(),
        _ if size < 0.001 => return scientific(value),
        _ if size < 0.1 => 4,
        _ if size < 10.0 => 3,
        _ if size < 100.0 => 1,
        _ => 0,
    };
    signed(&format!("{value:.digits$}"))
}

/// Two decimals, as rates and correlations are read.
pub fn rate(value: f64) -> String {
    if value.is_finite() {
        signed(&format!("{value:.2}"))
    } else {
        "–".into()
    }
}

/// A value with its standard error, to as many decimals as the error bears (two at least, four at most).
pub fn with_error(value: f64, se: Option<f64>) -> String {
    let Some(se) = se.filter(|se| se.is_finite()) else {
        return rate(value);
    };
    let digits = decimals_for(se);
    format!("{} ± {se:.digits$}", signed(&format!("{value:.digits$}")))
}

/// As [`with_error`], with a plus sign where it is due.
pub fn difference_with_error(value: f64, se: Option<f64>) -> String {
    let text = with_error(value, se);
    if value > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

fn decimals_for(se: f64) -> usize {
    match se {
        _ if se == 0.0 || se >= 0.0095 => 2,
        _ if se >= 0.000_95 => 3,
        _ => 4,
    }
}

/// As [`rate`], with a plus sign where it is due.
pub fn difference(value: f64) -> String {
    let text = rate(value);
    if value > 0.0 && text != "0.00" {
        format!("+{text}")
    } else {
        text
    }
}

/// A whole number with thin spaces between thousands.
pub fn count(n: usize) -> String {
    grouped(&n.to_string())
}

/// A duration in the largest sensible unit.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "–".into(),
        s if s < 0.1 => format!("{:.0} ms", s * 1000.0),
        s if s < 99.95 => format!("{s:.1} s"),
        s if s < 5999.5 => format!(
            "{:.0} min {:02.0} s",
            (s / 60.0).floor(),
            (s % 60.0).floor()
        ),
        s => format!(
            "{:.0} h {:02.0} min",
            (s / 3600.0).floor(),
            ((s % 3600.0) / 60.0).floor()
        ),
    }
}

/// "1 pair", "2 pairs".
pub fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

fn scientific(value: f64) -> String {
    signed(&format!("{value:.2e}"))
}

fn signed(text: &str) -> String {
    let (sign, rest) = match text.strip_prefix('-') {
        // −0.00 is a zero.
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => ("", rest),
        Some(rest) => ("−", rest),
        None => ("", text),
    };
    match rest.split_once('.') {
        Some((whole, part)) => format!("{sign}{}.{part}", grouped(whole)),
        None => format!("{sign}{}", grouped(rest)),
    }
}

fn grouped(digits: &str) -> String {
    if digits.len() < 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.to_owned();
    }
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_and_bidi_overrides_are_shown_not_obeyed() {
        assert_eq!(visible("a\u{1b}[31mb\0"), "a⟨U+001B⟩[31mb⟨U+0000⟩");
        assert_eq!(visible("x\u{202e}y"), "x⟨U+202E⟩y");
        assert_eq!(visible("line\nnext\tß ✓"), "line\nnext\tß ✓");
    }

    #[test]
    fn numbers_have_three_significant_digits_and_a_real_minus() {
        assert_eq!(number(-0.5), "−0.500");
        assert_eq!(number(12345.6), "12\u{202f}346");
        assert_eq!(number(0.00002), "2.00e-5");
        assert_eq!(number(f64::NAN), "–");
        assert_eq!(rate(-0.001), "0.00");
        assert_eq!(difference(0.361), "+0.36");
        assert_eq!(difference(-0.361), "−0.36");
    }

    #[test]
    fn errors_decide_the_decimals() {
        assert_eq!(with_error(0.975, Some(0.004)), "0.975 ± 0.004");
        assert_eq!(with_error(0.49, Some(0.03)), "0.49 ± 0.03");
        assert_eq!(with_error(-0.49, None), "−0.49");
        assert_eq!(difference_with_error(0.36, Some(0.04)), "+0.36 ± 0.04");
    }

    #[test]
    fn durations_take_their_unit() {
        assert_eq!(duration(0.05), "50 ms");
        assert_eq!(duration(93.21), "93.2 s");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(duration(7322.0), "2 h 02 min");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 2), "äö… (and 1 more character)");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
