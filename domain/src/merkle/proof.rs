//! Paths through a Merkle tree: that a leaf is in it, and that a later tree begins with an earlier one (RFC 9162,
//! sections 2.1.3 and 2.1.4). A path is given as the ranges of leaves whose roots it consists of, so that whoever stores
//! a tree reads only those. Nothing here reads a tree.

use std::ops::Range;

use super::{Hash, node_hash};

/// The root of a perfect tree over the leaves `index << level` up to `(index + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Height over the leaves; 0 is a leaf.
    pub level: u32,
    /// Place among the nodes of its level, from 0.
    pub index: u64,
}

/// The ranges whose roots prove that leaf `index` is in a tree of `size` leaves, from the leaf up; `None` if it is not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut path, mut tree) = (Vec::new(), 0..size);
    while tree.end - tree.start > 1 {
        let (left, right) = halves(&tree);
        let is_left = index < left.end;
        let (down, beside) = if is_left { (left, right) } else { (right, left) };
        path.push(beside);
        tree = down;
    }
    path.reverse();
    Some(path)
}

/// The ranges whose roots prove that a tree of `new` leaves begins with the `old` ones; `None` unless
/// 0 < `old` ≤ `new`. Trees of one size need no path.
pub fn consistency(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut path, mut tree, mut is_old_root) = (Vec::new(), 0..new, true);
    while tree.end > old {
        let (left, right) = halves(&tree);
        if old <= left.end {
            path.push(right);
            tree = left;
        } else {
            path.push(left);
            tree = right;
            is_old_root = false;
        }
    }
    if !is_old_root {
        path.push(tree);
    }
    path.reverse();
    Some(path)
}

/// The two trees below the root of a tree over `tree`: the left one has as many leaves as the largest power of two that
/// is smaller than the whole.
fn halves(tree: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let size = tree.end - tree.start;
    let middle = tree.start + (1 << (size - 1).ilog2());
    (tree.start..middle, middle..tree.end)
}

/// The perfect trees that the tree over `range` is made of, the largest first. Ranges of paths begin where such trees
/// do.
pub fn perfect(range: &Range<u64>) -> Vec<Node> {
    let (mut nodes, mut start) = (Vec::new(), range.start);
    while start < range.end {
        let level = (range.end - start).ilog2();
        nodes.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    nodes
}

/// Whether `path` proves that `leaf` stands at `index` in the tree of `size` leaves with this root.
pub fn proves_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], root: Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(*beside, hash);
            climb_right_edge(&mut place, &mut last);
        } else {
            hash = node_hash(hash, *beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Whether `path` proves that the tree of `new` leaves begins with the tree of `old` leaves.
pub fn proves_consistency(old: u64, old_root: Hash, new: u64, new_root: Hash, path: &[Hash]) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    // An old tree that is perfect is itself the first hash, and the path leaves it out.
    let whole: Vec<Hash> = if old.is_power_of_two() { vec![old_root] } else { Vec::new() };
    let mut hashes = whole.into_iter().chain(path.iter().copied());
    let Some(first) = hashes.next() else { return false };
    let (mut place, mut last) = (old - 1, new - 1);
    let up = place.trailing_ones();
    (place, last) = (place >> up, last >> up);
    let (mut from_old, mut from_new) = (first, first);
    for beside in hashes {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            from_old = node_hash(beside, from_old);
            from_new = node_hash(beside, from_new);
            climb_right_edge(&mut place, &mut last);
        } else {
            from_new = node_hash(from_new, beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && from_old == old_root && from_new == new_root
}

/// On the right edge of a tree that is not perfect a node is its own parent until it is a right child.
fn climb_right_edge(place: &mut u64, last: &mut u64) {
    if *place != 0 {
        let up = place.trailing_zeros();
        (*place, *last) = (*place >> up, *last >> up);
    }
}
