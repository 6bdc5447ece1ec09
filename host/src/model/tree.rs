//! Sequences that share beginnings, packed so that every shared token is computed once.
//!
//! A [`Row`] is a forest of tokens: each sees its ancestors only, and its rotary position is its depth, so one row holds a prompt with
//! all its responses, every judge question about them and both options of each, or a preference pair with its prompt once. Pure and
//! free of tensors; `logprobs` runs rows through the decoder. A sequence's last token predicts nothing, so it has no place in a row: two
//! options of one token each share all of theirs.

/// A token sequence, and from which index on its tokens' log-probabilities are wanted (at least 1: the first token has no left context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Index of the first scored token.
    pub from: usize,
}

/// A forest of tokens in one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Token of each node; parents stand before children.
    pub tokens: Vec<u32>,
    /// Parent of each node; its own index for a root.
    pub parents: Vec<usize>,
    /// Depth of each node: its rotary position.
    pub depths: Vec<usize>,
    /// For each member: which sequence it is, and the nodes of its tokens but the last.
    pub members: Vec<(usize, Vec<usize>)>,
}

impl Row {
    /// How many tokens `ids` would add after the sequence added last.
    fn growth(&self, ids: &[u32]) -> usize {
        inner(ids).len() - self.shared(inner(ids))
    }

    fn shared(&self, ids: &[u32]) -> usize {
        let Some((_, path)) = self.members.last() else {
            return 0;
        };
        path.iter().zip(ids).take_while(|(node, id)| self.tokens[**node] == **id).count()
    }

    fn add(&mut self, sequence: usize, ids: &[u32]) {
        let ids = inner(ids);
        let shared = self.shared(ids);
        let mut path: Vec<usize> = self.members.last().map_or_else(Vec::new, |(_, last)| last[..shared].to_vec());
        for (depth, &id) in ids.iter().enumerate().skip(shared) {
            let node = self.tokens.len();
            self.tokens.push(id);
            self.parents.push(path.last().copied().unwrap_or(node));
            self.depths.push(depth);
            path.push(node);
        }
        self.members.push((sequence, path));
    }

    /// Appends the forest of another row.
    pub fn join(&mut self, other: Row) {
        let base = self.tokens.len();
        self.tokens.extend(other.tokens);
        self.parents.extend(other.parents.into_iter().map(|p| p + base));
        self.depths.extend(other.depths);
        self.members
            .extend(other.members.into_iter().map(|(s, path)| (s, path.into_iter().map(|n| n + base).collect())));
    }

    /// Whether every token follows the one before it: plain causal attention then shows each what it may see.
    pub fn is_chain(&self) -> bool {
        self.parents.iter().enumerate().all(|(node, &parent)| parent == node.saturating_sub(1))
    }

    /// The row cut at its branchings: chains in order.
    pub fn chains(&self) -> Vec<Chain> {
        let mut chains: Vec<Chain> = Vec::new();
        let mut place = Vec::with_capacity(self.tokens.len()); // chain of each node, and its number there
        for (node, &parent) in self.parents.iter().enumerate() {
            if node > 0
                && parent + 1 == node
                && let Some(chain) = chains.last_mut()
            {
                let at = chain.length;
                chain.length += 1;
                place.push((chains.len() - 1, at));
                continue;
            }
            let before = if parent == node {
                Vec::new()
            } else {
                let (of, at): (usize, usize) = place[parent];
                let mut before = chains[of].before.clone();
                before.push((of, at + 1));
                before
            };
            place.push((chains.len(), 0));
            chains.push(Chain { length: 1, before });
        }
        chains
    }

    /// Writes the row's visibility into `mask`, `width` × `width`, row-major; padding sees itself, so that its softmax is defined.
    pub fn visibility(&self, width: usize, mask: &mut [bool]) {
        for (node, &parent) in self.parents.iter().enumerate() {
            if parent != node {
                mask.copy_within(parent * width..parent * width + node, node * width);
            }
            mask[node * width + node] = true;
        }
        for node in self.tokens.len()..width {
            mask[node * width + node] = true;
        }
    }
}

/// A stretch of a row in which every token follows the one before it, and what it sees from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its tokens.
    pub length: usize,
    /// The chains that its first token descends from, and how much of each, from the root on.
    pub before: Vec<(usize, usize)>,
}

/// The tokens that predict another.
fn inner(ids: &[u32]) -> &[u32] {
    &ids[..ids.len().saturating_sub(1)]
}

/// Packs sequences into rows of about `budget` tokens, sharing as much as their order in the dictionary allows.
///
/// A sequence longer than the budget has a row of its own. The result does not depend on the order of the input but for equal sequences.
pub fn pack(sequences: &[Sequence], budget: usize) -> Vec<Row> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by(|&a, &b| sequences[a].ids.cmp(&sequences[b].ids));
    let mut rows: Vec<Row> = Vec::new();
    for s in order {
        let ids = &sequences[s].ids;
        match rows.last_mut() {
            Some(row) if row.tokens.len() + row.growth(ids) <= budget => row.add(s, ids),
            _ => {
                let mut row = Row::default();
                row.add(s, ids);
                rows.push(row);
            }
        }
    }
    rows
}

/// One tree per group of sequences; then small trees share rows: see [`join`].
pub fn pack_groups(groups: &[Vec<Sequence>]) -> Vec<Row> {
    join(trees(groups))
}

/// One tree per group of sequences, which are numbered over all groups.
pub fn trees(groups: &[Vec<Sequence>]) -> Vec<Row> {
    let mut trees = Vec::with_capacity(groups.len());
    let mut base = 0;
    for group in groups {
        let mut order: Vec<usize> = (0..group.len()).collect();
        order.sort_by(|&a, &b| group[a].ids.cmp(&group[b].ids));
        let mut row = Row::default();
        for s in order {
            row.add(base + s, &group[s].ids);
        }
        base += group.len();
        trees.push(row);
    }
    trees
}

/// Small trees share rows no wider than the largest: first fit, largest first. Where every tree is a chain, each keeps its own row: plain
/// chains need no mask.
pub fn join(mut trees: Vec<Row>) -> Vec<Row> {
    if trees.iter().all(Row::is_chain) {
        return trees;
    }
    trees.sort_by_key(|row| std::cmp::Reverse(row.tokens.len()));
    let width = trees.first().map_or(0, |row| row.tokens.len());
    let mut rows: Vec<Row> = Vec::new();
    for tree in trees {
        match rows.iter_mut().find(|row| row.tokens.len() + tree.tokens.len() <= width) {
            Some(row) => row.join(tree),
            None => rows.push(tree),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(ids: &[u32]) -> Sequence {
        // The last token has no node: 99 stands for it.
        Sequence { ids: [ids, &[99]].concat(), from: 1 }
    }

    #[test]
    fn shared_beginnings_are_stored_once() {
        let rows = pack(&[sequence(&[1, 2, 3]), sequence(&[1, 2, 4, 5]), sequence(&[1, 2, 3])], 100);
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!(row.tokens, [1, 2, 3, 4, 5]);
        assert_eq!(row.parents, [0, 0, 1, 1, 3]);
        assert_eq!(row.depths, [0, 1, 2, 2, 3]);
        assert_eq!(row.members[2], (1, vec![0, 1, 3, 4]));
    }

    #[test]
    fn a_row_is_cut_at_its_branchings() {
        let mut row = pack(&[sequence(&[1, 2, 3]), sequence(&[1, 2, 4, 5]), sequence(&[1, 2, 4, 6])], 100).remove(0);
        row.join(pack(&[sequence(&[7, 8])], 100).remove(0));
        let chain = |length, before: &[(usize, usize)]| Chain { length, before: before.into() };
        let expected = [chain(3, &[]), chain(2, &[(0, 2)]), chain(1, &[(0, 2), (1, 1)]), chain(2, &[])];
        assert_eq!(row.chains(), expected);
    }

    #[test]
    fn a_node_sees_its_ancestors_and_nothing_else() {
        let row = pack(&[sequence(&[1, 2, 3]), sequence(&[1, 4])], 100).remove(0);
        let width = row.tokens.len() + 1;
        let mut mask = vec![false; width * width];
        row.visibility(width, &mut mask);
        let seen = |node: usize| (0..width).filter(|&k| mask[node * width + k]).collect::<Vec<_>>();
        assert_eq!(
            [seen(0), seen(1), seen(2), seen(3), seen(4)],
            [vec![0], vec![0, 1], vec![0, 1, 2], vec![0, 3], vec![4]]
        );
    }

    #[test]
    fn rows_keep_to_the_budget_unless_one_sequence_exceeds_it() {
        let rows = pack(&[sequence(&[1, 2, 3, 4]), sequence(&[5, 6]), sequence(&[7])], 3);
        assert_eq!(rows.iter().map(|r| r.tokens.len()).collect::<Vec<_>>(), [4, 3]);
    }

    #[test]
    fn joined_trees_do_not_see_each_other() {
        let pair = vec![sequence(&[1, 2, 3]), sequence(&[1, 4])];
        let groups = [pair, vec![sequence(&[5, 6])], vec![sequence(&[7, 8])]];
        let rows = pack_groups(&groups);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].parents, [0, 0, 2, 2]);
        assert_eq!(rows[1].members, [(2, vec![0, 1]), (3, vec![2, 3])]);
    }

    #[test]
    fn single_sequences_are_chains_with_rows_of_their_own() {
        let rows = pack_groups(&[vec![sequence(&[1, 2, 3])], vec![sequence(&[1, 2])]]);
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(Row::is_chain));
        assert!(!pack(&[sequence(&[1, 2]), sequence(&[1, 3])], 9)[0].is_chain());
    }
}
