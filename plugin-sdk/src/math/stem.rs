//! Stems of English words: Porter's algorithm with the extensions of NLTK's `PorterStemmer` in its default mode, which is
//! what the `rouge_score` package uses. Rule for rule the same, so that ROUGE with stemming gives the same numbers.
//!
//! In: a lower-case word of a–z and 0–9. Anything else is left as it is.

/// NLTK's table of words that the rules get wrong.
const IRREGULAR: [(&str, &str); 16] = [
    ("canning", "canning"),
    ("cannings", "canning"),
    ("dying", "die"),
    ("exceed", "exceed"),
    ("howe", "howe"),
    ("inning", "inning"),
    ("innings", "inning"),
    ("lying", "lie"),
    ("news", "news"),
    ("outing", "outing"),
    ("outings", "outing"),
    ("proceed", "proceed"),
    ("skies", "sky"),
    ("sky", "sky"),
    ("succeed", "succeed"),
    ("tying", "tie"),
];

/// A suffix and what takes its place.
type Rule = (&'static [u8], &'static [u8]);

const PLURALS: [Rule; 4] = [(b"sses", b"ss"), (b"ies", b"i"), (b"ss", b"ss"), (b"s", b"")];

const DOUBLE_SUFFIXES: [Rule; 20] = [
    (b"ational", b"ate"),
    (b"tional", b"tion"),
    (b"enci", b"ence"),
    (b"anci", b"ance"),
    (b"izer", b"ize"),
    (b"bli", b"ble"),
    (b"alli", b"al"),
    (b"entli", b"ent"),
    (b"eli", b"e"),
    (b"ousli", b"ous"),
    (b"ization", b"ize"),
    (b"ation", b"ate"),
    (b"ator", b"ate"),
    (b"alism", b"al"),
    (b"iveness", b"ive"),
    (b"fulness", b"ful"),
    (b"ousness", b"ous"),
    (b"aliti", b"al"),
    (b"iviti", b"ive"),
    (b"biliti", b"ble"),
];

const SINGLE_SUFFIXES: [Rule; 7] = [
    (b"icate", b"ic"),
    (b"ative", b""),
    (b"alize", b"al"),
    (b"iciti", b"ic"),
    (b"ical", b"ic"),
    (b"ful", b""),
    (b"ness", b""),
];

const LAST_SUFFIXES: [&[u8]; 19] = [
    b"al", b"ance", b"ence", b"er", b"ic", b"able", b"ible", b"ant", b"ement", b"ment", b"ent", b"ion", b"ou", b"ism",
    b"ate", b"iti", b"ous", b"ive", b"ize",
];

/// The stem of a word.
///
/// ```
/// use udasa_plugin_sdk::math::stem::stem;
/// assert_eq!(stem("relational"), "relat");
/// assert_eq!(stem("flies"), "fli");
/// assert_eq!(stem("dying"), "die");
/// assert_eq!(stem("über"), "über");
/// ```
pub fn stem(word: &str) -> String {
    if let Ok(i) = IRREGULAR.binary_search_by_key(&word, |(irregular, _)| irregular) {
        return IRREGULAR[i].1.to_owned();
    }
    if word.len() <= 2 || !word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return word.to_owned();
    }
    let mut w = word.as_bytes().to_vec();
    plural(&mut w);
    past_and_progressive(&mut w);
    last_y(&mut w);
    double_suffix(&mut w);
    first_match(&mut w, &SINGLE_SUFFIXES, |stem| measure(stem) > 0);
    last_suffix(&mut w);
    last_e(&mut w);
    double_l(&mut w);
    // Only ASCII was put in or left.
    String::from_utf8(w).unwrap_or_else(|_| word.to_owned())
}

/// Step 1a.
fn plural(w: &mut Vec<u8>) {
    if w.len() == 4 && w.ends_with(b"ies") {
        w.truncate(3);
        return;
    }
    first_match(w, &PLURALS, |_| true);
}

/// Step 1b.
fn past_and_progressive(w: &mut Vec<u8>) {
    if w.ends_with(b"ied") {
        let keep = if w.len() == 4 { 1 } else { 2 };
        w.truncate(w.len() - keep);
        return;
    }
    if let Some(stem) = w.strip_suffix(b"eed") {
        if measure(stem) > 0 {
            w.pop();
        }
        return;
    }
    let stem = w.strip_suffix(b"ed").or_else(|| w.strip_suffix(b"ing"));
    let Some(length) = stem.filter(|stem| has_vowel(stem)).map(<[u8]>::len) else { return };
    w.truncate(length);
    if [&b"at"[..], b"bl", b"iz"].iter().any(|end| w.ends_with(end)) {
        w.push(b'e');
    } else if ends_in_double_consonant(w) {
        if !matches!(w.last(), Some(b'l' | b's' | b'z')) {
            w.pop();
        }
    } else if measure(w) == 1 && ends_in_cvc(w) {
        w.push(b'e');
    }
}

/// Step 1c: y → i after a consonant that does not begin the word.
fn last_y(w: &mut [u8]) {
    let last = w.len() - 1;
    if last > 1 && w[last] == b'y' && last_is_consonant(&w[..last]) {
        w[last] = b'i';
    }
}

/// Step 2.
fn double_suffix(w: &mut Vec<u8>) {
    // NLTK tries -alli first, and the other rules on what comes of it.
    if w.strip_suffix(b"alli").is_some_and(|stem| measure(stem) > 0) {
        w.truncate(w.len() - 2);
    }
    if first_match(w, &DOUBLE_SUFFIXES, |stem| measure(stem) > 0) {
        return;
    }
    if first_match(w, &[(b"fulli", b"ful")], |stem| measure(stem) > 0) {
        return;
    }
    // The l counts with the stem, so that geology and theology are stemmed as archaeology is.
    if w.ends_with(b"logi") && measure(&w[..w.len() - 3]) > 0 {
        w.pop();
    }
}

/// Step 4.
fn last_suffix(w: &mut Vec<u8>) {
    let Some(suffix) = LAST_SUFFIXES.iter().find(|suffix| w.ends_with(suffix)) else { return };
    let stem = &w[..w.len() - suffix.len()];
    let fits = *suffix != b"ion" || matches!(stem.last(), Some(b's' | b't'));
    if fits && measure(stem) > 1 {
        w.truncate(stem.len());
    }
}

/// Step 5a.
fn last_e(w: &mut Vec<u8>) {
    let Some(stem) = w.strip_suffix(b"e") else { return };
    let m = measure(stem);
    if m > 1 || (m == 1 && !ends_in_cvc(stem)) {
        w.pop();
    }
}

/// Step 5b.
fn double_l(w: &mut Vec<u8>) {
    if w.ends_with(b"ll") && measure(&w[..w.len() - 1]) > 1 {
        w.pop();
    }
}

/// Replaces the first suffix that matches if the stem before it may stand, and tries no other. Whether one matched.
fn first_match(w: &mut Vec<u8>, rules: &[Rule], may_stand: impl Fn(&[u8]) -> bool) -> bool {
    let Some((suffix, with)) = rules.iter().find(|(suffix, _)| w.ends_with(suffix)) else { return false };
    let length = w.len() - suffix.len();
    if may_stand(&w[..length]) {
        w.truncate(length);
        w.extend_from_slice(with);
    }
    true
}

/// A letter's part: y is a vowel after a consonant, digits are consonants.
fn is_vowel(c: u8, after_consonant: bool) -> bool {
    matches!(c, b'a' | b'e' | b'i' | b'o' | b'u') || (c == b'y' && after_consonant)
}

/// Whether each letter is a vowel, in order.
fn vowels(word: &[u8]) -> impl Iterator<Item = bool> + '_ {
    let mut after_consonant = false;
    word.iter().map(move |&c| {
        let vowel = is_vowel(c, after_consonant);
        after_consonant = !vowel;
        vowel
    })
}

/// Porter's m: how often a consonant follows a vowel.
fn measure(word: &[u8]) -> usize {
    let mut after_vowel = false;
    vowels(word).filter(|&vowel| std::mem::replace(&mut after_vowel, vowel) && !vowel).count()
}

fn has_vowel(word: &[u8]) -> bool {
    vowels(word).any(|vowel| vowel)
}

fn last_is_consonant(word: &[u8]) -> bool {
    vowels(word).last() == Some(false)
}

fn ends_in_double_consonant(word: &[u8]) -> bool {
    matches!(word, [.., a, b] if a == b) && last_is_consonant(word)
}

/// Consonant, vowel, consonant other than w, x, y; NLTK also takes a word that is vowel, consonant.
fn ends_in_cvc(word: &[u8]) -> bool {
    let n = word.len();
    let mut last = vowels(word).skip(n.saturating_sub(3));
    match n {
        2 => (last.next(), last.next()) == (Some(true), Some(false)),
        3.. => {
            (last.next(), last.next(), last.next()) == (Some(false), Some(true), Some(false))
                && !matches!(word[n - 1], b'w' | b'x' | b'y')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
