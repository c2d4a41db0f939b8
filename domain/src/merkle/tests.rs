//! The trees against the vectors of Certificate Transparency's own implementation (google/certificate-transparency,
//! merkletree/merkle_tree_test.cc), and against a tree that is computed as the RFC defines it.

use std::ops::Range;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::proof::{consistency, inclusion, perfect, proves_consistency, proves_inclusion};
use super::{Frontier, Hash, empty_root, join, leaf_hash, node_hash, root_of};

/// The eight leaves of those vectors.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots over the first one, two, … of them.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hash(text: &str) -> Hash {
    Hash(HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap())
}

fn known_leaves() -> Vec<Hash> {
    LEAVES.iter().map(|text| leaf_hash(&HEXLOWER.decode(text.as_bytes()).unwrap())).collect()
}

/// MTH(D[n]), word for word.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        more => {
            let k = 1 << (more.len() - 1).ilog2();
            node_hash(naive(&more[..k]), naive(&more[k..]))
        }
    }
}

fn hashes(leaves: &[Hash], path: Vec<Range<u64>>) -> Vec<Hash> {
    let root = |range: Range<u64>| {
        let nodes = perfect(&range);
        let parts: Vec<Hash> = nodes
            .iter()
            .map(|node| {
                let (start, size) = ((node.index << node.level) as usize, 1 << node.level);
                naive(&leaves[start..start + size])
            })
            .collect();
        join(&parts)
    };
    path.into_iter().map(root).collect()
}

fn some_leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn the_empty_tree_has_the_known_root() {
    assert_eq!(empty_root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    assert_eq!(Frontier::default().root(), empty_root());
}

#[test]
fn growing_trees_have_the_known_roots() {
    let mut tree = Frontier::default();
    for (leaf, root) in known_leaves().into_iter().zip(ROOTS) {
        tree.push(leaf);
        assert_eq!(tree.root(), hash(root));
    }
}

#[test]
fn known_paths_of_inclusion() {
    let path = |leaf: u64, size: u64| hashes(&known_leaves(), inclusion(leaf, size).unwrap());
    let known = |texts: &[&str]| texts.iter().map(|text| hash(text)).collect::<Vec<_>>();
    assert_eq!(path(0, 1), []);
    assert_eq!(
        path(0, 8),
        known(&[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ])
    );
    assert_eq!(
        path(5, 8),
        known(&[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
    assert_eq!(path(2, 3), known(&["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]));
}

#[test]
fn known_paths_of_consistency() {
    let path = |old: u64, new: u64| hashes(&known_leaves(), consistency(old, new).unwrap());
    let known = |texts: &[&str]| texts.iter().map(|text| hash(text)).collect::<Vec<_>>();
    assert_eq!(path(1, 1), []);
    assert_eq!(
        path(1, 8),
        known(&[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ])
    );
    assert_eq!(
        path(6, 8),
        known(&[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
    assert_eq!(
        path(2, 5),
        known(&[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ])
    );
}

#[test]
fn there_is_no_path_to_what_is_not_there() {
    assert_eq!((inclusion(0, 0), inclusion(3, 3)), (None, None));
    assert_eq!((consistency(0, 3), consistency(4, 3)), (None, None));
}

#[test]
fn every_path_of_every_small_tree_proves_what_it_is_for_and_nothing_else() {
    let leaves = some_leaves(36);
    for size in 1..=36_u64 {
        let tree = &leaves[..size as usize];
        let root = naive(tree);
        for index in 0..size {
            let path = hashes(tree, inclusion(index, size).unwrap());
            let proves = |at, leaf| proves_inclusion(leaf, at, size, &path, root);
            assert!(proves(index, tree[index as usize]), "{index} in {size}");
            for other in (0..=size).filter(|other| *other != index) {
                assert!(!proves(other, tree[index as usize]), "{index} as {other} in {size}");
            }
            assert!(!proves(index, leaf_hash(b"another")));
        }
        for old in 1..=size {
            let (path, old_root) =
                (hashes(tree, consistency(old, size).unwrap()), naive(&leaves[..old as usize]));
            assert!(proves_consistency(old, old_root, size, root, &path), "{old} in {size}");
            assert!(!proves_consistency(old, leaf_hash(b"x"), size, root, &path));
            assert!(!proves_consistency(old, old_root, size, leaf_hash(b"x"), &path));
            for other in (0..=size + 1).filter(|other| *other != old) {
                assert!(!proves_consistency(other, old_root, size, root, &path), "{old} as {other}");
            }
        }
    }
}

#[test]
fn hashes_are_written_in_base64_of_one_spelling() {
    let text = empty_root().to_string();
    assert_eq!(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_eq!(text.parse(), Ok(empty_root()));
    for wrong in
        ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", ""]
    {
        assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_frontier_gives_the_root_that_the_rfc_defines(count in 0_u64..600) {
        let leaves = some_leaves(count);
        prop_assert_eq!(root_of(leaves.iter().copied()), naive(&leaves));
    }

    #[test]
    fn a_path_with_one_bit_changed_proves_nothing(
        size in 2_u64..200, place in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let leaves = some_leaves(size);
        let index = place.index(size as usize) as u64;
        let mut path = hashes(&leaves, inclusion(index, size).unwrap());
        let bit = bit.index(path.len() * 256);
        path[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
        prop_assert!(!proves_inclusion(leaves[index as usize], index, size, &path, naive(&leaves)));
    }

    #[test]
    fn a_shorter_or_longer_path_proves_nothing(size in 2_u64..200, old in any::<prop::sample::Index>()) {
        let leaves = some_leaves(size);
        let old = old.index(size as usize - 1) as u64 + 1;
        let (old_root, root) = (naive(&leaves[..old as usize]), naive(&leaves));
        let path = hashes(&leaves, consistency(old, size).unwrap());
        let longer: Vec<Hash> = path.iter().copied().chain([root]).collect();
        prop_assert!(!proves_consistency(old, old_root, size, root, &longer));
        prop_assert!(!proves_consistency(old, old_root, size, root, &path[..path.len() - 1]));
    }
}
