//! How a tree lies in the table: tiles of sixteen nodes of one level, of every fourth level. A tree that grows touches
//! its right edge only, and any other node is the root over part of one tile. Nothing here runs a statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use data_encoding::BASE64;
use domain::merkle::proof::{Node, perfect};
use domain::merkle::{HASH_BYTES, Hash, join, root_of};

use crate::error::QueryError;

/// Levels of a tree that one tile stands for.
const HEIGHT: u32 = 4;
/// Nodes of a tile.
pub(super) const WIDTH: u64 = 1 << HEIGHT;

/// Tiles by their ids.
pub(super) type Tiles = HashMap<String, Vec<Hash>>;

/// Which tile: its level, counted in tiles, and its place there.
type Place = (u32, u64);

pub(super) fn id(tree: &str, (level, index): Place) -> String {
    format!("{tree}/{level}/{index}")
}

pub(super) fn text(hashes: &[Hash]) -> String {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    BASE64.encode(&bytes)
}

pub(super) fn parsed(id: &str, text: &str) -> Result<Vec<Hash>, QueryError> {
    let bytes = BASE64.decode(text.as_bytes()).unwrap_or_default();
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if hashes.is_empty() || !rest.is_empty() || hashes.len() as u64 > WIDTH {
        return Err(damaged(id));
    }
    Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
}

fn damaged(id: &str) -> QueryError {
    QueryError::Damaged(format!(
        "the Merkle log lacks part of the row {id} of merkle_tile; `dca-auth verify` says what else is wrong"
    ))
}

/// The tiles with the leaves of `range`.
pub(super) fn leaf_tiles(tree: &str, range: &Range<u64>) -> Vec<String> {
    (range.start / WIDTH..range.end.div_ceil(WIDTH)).map(|index| id(tree, (0, index))).collect()
}

/// A leaf, out of its tile.
pub(super) fn leaf(tiles: &Tiles, tree: &str, index: u64) -> Option<Hash> {
    tiles.get(&id(tree, (0, index / WIDTH)))?.get((index % WIDTH) as usize).copied()
}

/// The tile that holds what a node is made of, and which entries of it.
fn within(node: Node) -> (Place, Range<usize>) {
    let height = node.level % HEIGHT;
    let first = node.index << height;
    let start = (first % WIDTH) as usize;
    ((node.level / HEIGHT, first / WIDTH), start..start + (1 << height))
}

/// The tiles that the roots over `ranges` are made of.
pub(super) fn tiles_of(tree: &str, ranges: &[Range<u64>]) -> Vec<String> {
    let places: BTreeSet<Place> = ranges.iter().flat_map(perfect).map(|node| within(node).0).collect();
    places.into_iter().map(|place| id(tree, place)).collect()
}

/// The root over the leaves of `range`, which is one of a path.
pub(super) fn root_over(tiles: &Tiles, tree: &str, range: &Range<u64>) -> Result<Hash, QueryError> {
    let nodes = perfect(range).into_iter().map(|node| {
        let (place, entries) = within(node);
        let id = id(tree, place);
        let hashes = tiles.get(&id).and_then(|tile| tile.get(entries)).ok_or_else(|| damaged(&id))?;
        Ok(root_of(hashes.iter().copied()))
    });
    Ok(join(&nodes.collect::<Result<Vec<_>, QueryError>>()?))
}

/// The places of the tiles at the right edge of a tree that are not full.
fn edge(size: u64) -> impl Iterator<Item = (Place, usize)> {
    let levels = (0..u64::BITS / HEIGHT).map(move |level| (level, size >> (level * HEIGHT)));
    levels
        .map(|(level, nodes)| ((level, nodes / WIDTH), (nodes % WIDTH) as usize))
        .filter(|(_, entries)| *entries > 0)
}

/// A tree that grows.
pub(super) struct Growing {
    name: String,
    size: u64,
    tiles: BTreeMap<Place, Vec<Hash>>,
    changed: BTreeSet<Place>,
}

impl Growing {
    /// A tree without leaves.
    pub(super) fn empty(name: String) -> Self {
        Self { name, size: 0, tiles: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// The tiles that [`Growing::open`] needs.
    pub(super) fn edge_tiles(name: &str, size: u64) -> impl Iterator<Item = String> {
        edge(size).map(move |(place, _)| id(name, place))
    }

    /// A tree of `size` leaves. What is stored may have grown since the size was read.
    pub(super) fn open(name: String, size: u64, stored: &Tiles) -> Result<Self, QueryError> {
        let mut tree = Self { size, ..Self::empty(name) };
        for (place, entries) in edge(size) {
            let id = id(&tree.name, place);
            let tile = stored.get(&id).and_then(|tile| tile.get(..entries)).ok_or_else(|| damaged(&id))?;
            tree.tiles.insert(place, tile.to_vec());
        }
        Ok(tree)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub(super) fn push(&mut self, leaf: Hash) {
        let (mut level, mut index, mut hash) = (0, self.size, leaf);
        loop {
            let place = (level, index / WIDTH);
            let tile = self.tiles.entry(place).or_default();
            tile.push(hash);
            self.changed.insert(place);
            if (tile.len() as u64) < WIDTH {
                break;
            }
            hash = root_of(tile.iter().copied());
            (level, index) = (level + 1, index / WIDTH);
        }
        self.size += 1;
    }

    /// The root over its leaves.
    pub(super) fn root(&self) -> Hash {
        let edge: Vec<(Place, usize)> = edge(self.size).collect();
        let mut peaks = Vec::new();
        for (place, entries) in edge.into_iter().rev() {
            let Some(tile) = self.tiles.get(&place) else { continue };
            for node in perfect(&(0..entries as u64)) {
                let start = (node.index << node.level) as usize;
                peaks.push(root_of(tile[start..start + (1 << node.level)].iter().copied()));
            }
        }
        join(&peaks)
    }

    /// The tiles that changed since the last call; full ones are forgotten.
    pub(super) fn take_changed(&mut self) -> Vec<(String, Vec<Hash>)> {
        let changed = std::mem::take(&mut self.changed);
        let taken = changed
            .into_iter()
            .filter_map(|place| Some((id(&self.name, place), self.tiles.get(&place)?.clone())))
            .collect();
        self.tiles.retain(|_, tile| (tile.len() as u64) < WIDTH);
        taken
    }
}

#[cfg(test)]
mod tests {
    use domain::merkle::Frontier;
    use domain::merkle::leaf_hash;
    use domain::merkle::proof::{consistency, inclusion};

    use super::*;

    fn some_leaf(n: u64) -> Hash {
        leaf_hash(&n.to_be_bytes())
    }

    /// Trees of any size, grown over several batches, have the root that a frontier gives, and their tiles the root over
    /// any range of a path.
    #[test]
    fn a_tree_in_tiles_is_the_tree_of_the_rfc() {
        let (mut stored, mut frontier) = (Tiles::new(), Frontier::default());
        for size in 0..600_u64 {
            // As after a restart: nothing but what was stored.
            let mut tree = Growing::open("t".to_owned(), size, &stored).unwrap();
            assert_eq!(tree.root(), frontier.root(), "{size}");
            tree.push(some_leaf(size));
            frontier.push(some_leaf(size));
            stored.extend(tree.take_changed());
            assert_eq!(tree.root(), frontier.root(), "{size}");
        }
        let mut at_once = Growing::empty("t".to_owned());
        (0..600).for_each(|n| at_once.push(some_leaf(n)));
        assert_eq!(at_once.take_changed().into_iter().collect::<Tiles>(), stored);
        for size in [1_u64, 2, 15, 16, 17, 255, 256, 257, 273, 599, 600] {
            let ranges = inclusion(size / 2, size)
                .unwrap()
                .into_iter()
                .chain(consistency(size / 3 + 1, size).unwrap());
            for range in ranges.chain(std::iter::once(0..size)) {
                let needed: Tiles = tiles_of("t", std::slice::from_ref(&range))
                    .into_iter()
                    .map(|id| (id.clone(), stored[&id].clone()))
                    .collect();
                let expected = root_of(range.clone().map(some_leaf));
                assert_eq!(root_over(&needed, "t", &range).unwrap(), expected, "{range:?} of {size}");
            }
        }
        assert_eq!(leaf(&stored, "t", 321), Some(some_leaf(321)));
    }

    #[test]
    fn a_tile_is_read_as_it_was_written() {
        let hashes: Vec<Hash> = (0..16).map(some_leaf).collect();
        assert_eq!(parsed("t", &text(&hashes)).unwrap(), hashes);
        for wrong in ["", "AAAA", &text(&(0..17).map(some_leaf).collect::<Vec<_>>())] {
            assert!(parsed("t/0/0", wrong).unwrap_err().to_string().contains("t/0/0"));
        }
        assert!(Growing::open("t".to_owned(), 17, &Tiles::new()).is_err());
    }
}
