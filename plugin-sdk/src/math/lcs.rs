//! The longest common subsequence of two lists of small numbers, 64 cells of the table at a time.

/// A list, ready to be compared with many others: for each symbol, where in the list it stands.
///
/// Bit-parallel, after Crochemore et al. 2001 ("A fast and practical bit-vector algorithm for the longest common
/// subsequence problem") in the form of Hyyrö 2004: a column of the table is a bit vector, a word of the machine each 64
/// rows, and a 0 is where the column steps up by one.
///
/// ```
/// use udasa_plugin_sdk::math::lcs::Places;
/// let places = Places::new(&[0, 1, 2, 3], 5);
/// assert_eq!(places.common(&[0, 4, 2, 3]), 3);
/// ```
#[derive(Debug, Clone)]
pub struct Places {
    length: usize,
    /// 64-bit words a symbol: ⌈length / 64⌉.
    words: usize,
    /// [symbols, words]; bit i of a symbol's row is set where the list holds it at place i.
    places: Vec<u64>,
}

impl Places {
    /// The places of `list`, whose numbers are below `symbols`; a larger one is nowhere.
    pub fn new(list: &[u32], symbols: usize) -> Self {
        let words = list.len().div_ceil(64);
        let mut places = vec![0; symbols * words];
        for (i, symbol) in list.iter().enumerate() {
            if let Some(word) = places.get_mut(*symbol as usize * words + i / 64) {
                *word |= 1 << (i % 64);
            }
        }
        Self { length: list.len(), words, places }
    }

    /// How long the list is.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The length of the longest common subsequence of the list and `other`.
    pub fn common(&self, other: &[u32]) -> usize {
        match self.words {
            0 => 0,
            1 => self.common_of_one_word(other),
            _ => self.common_of_many_words(other),
        }
    }

    fn common_of_one_word(&self, other: &[u32]) -> usize {
        let mut column = u64::MAX;
        for symbol in other {
            let places = self.places.get(*symbol as usize).copied().unwrap_or(0);
            let both = column & places;
            column = column.wrapping_add(both) | (column & !places);
        }
        // Bits above the list's end have no places, and stay 1 but for a carry out of the list, which they lose again:
        // a 1 that is added to a run of ones is kept by `column & !places`.
        column.count_zeros() as usize
    }

    fn common_of_many_words(&self, other: &[u32]) -> usize {
        let mut column = vec![u64::MAX; self.words];
        for symbol in other {
            let row = *symbol as usize * self.words;
            let Some(places) = self.places.get(row..row + self.words) else { continue };
            let mut carry = false;
            for (cells, places) in column.iter_mut().zip(places) {
                let both = *cells & places;
                let (sum, first) = cells.overflowing_add(both);
                let (sum, second) = sum.overflowing_add(u64::from(carry));
                carry = first | second;
                *cells = sum | (*cells & !places);
            }
        }
        column.iter().map(|cells| cells.count_zeros() as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::similarity::longest_common_subsequence;
    use super::*;
    use crate::rng::Rng;

    fn list(rng: &mut Rng, length: usize, symbols: usize) -> Vec<u32> {
        (0..length).map(|_| rng.below(symbols) as u32).collect()
    }

    #[test]
    fn bits_give_what_the_table_gives() {
        let mut rng = Rng::new(3);
        for round in 0..2000 {
            // Lengths around the borders of words among them; few symbols and many.
            let longest = [3, 9, 63, 64, 65, 130, 200][round % 7];
            let symbols = [1, 2, 3, 7, 40, 300][round % 6];
            let (m, n) = (rng.below(longest + 1), rng.below(longest + 1));
            let (a, b) = (list(&mut rng, m, symbols), list(&mut rng, n, symbols));
            let table = longest_common_subsequence(&a, &b);
            assert_eq!(Places::new(&a, symbols).common(&b), table, "{a:?} {b:?}");
            assert_eq!(Places::new(&b, symbols).common(&a), table, "{b:?} {a:?}");
        }
    }

    #[test]
    fn lists_that_fill_their_words_and_empty_ones() {
        for length in [0, 1, 63, 64, 65, 127, 128, 129] {
            let counted: Vec<u32> = (0..length as u32).collect();
            let places = Places::new(&counted, length);
            assert_eq!(places.common(&counted), length);
            assert_eq!(places.common(&[]), 0);
            let backwards: Vec<u32> = counted.iter().rev().copied().collect();
            assert_eq!(places.common(&backwards), length.min(1));
            assert_eq!(places.common(&vec![0; 300]), length.min(1));
        }
    }

    #[test]
    fn a_symbol_that_the_list_cannot_hold_is_common_to_nothing() {
        assert_eq!(Places::new(&[0, 1], 2).common(&[7, 0, 9, 1]), 2);
        assert_eq!(Places::new(&(0..70).collect::<Vec<_>>(), 70).common(&[99, 69]), 1);
    }
}
