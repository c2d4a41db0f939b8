//! The layouts of other systems' files: which of their columns says what. One row a layout; `foreign.rs` reads by it. The names
//! of columns are those of the systems' own exports, or of the objects that their interfaces list; where each was found,
//! `docs/IMPORT.md` says. A column that stands in no row here is passed over, and the answer says so.

/// What a word in a column says of the license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: in use, or waiting to be.
    Usable,
    /// Over: the row must say since when.
    Over,
    /// Held, as staff would.
    Suspended,
    /// Ended for good.
    Revoked,
}

/// A column that says how a license stands.
#[derive(Debug)]
pub(super) struct States {
    pub(super) column: &'static str,
    /// Compared without case. Another word is refused; an empty cell says nothing.
    pub(super) words: &'static [(&'static str, Standing)],
    /// A column and the word in it by which this one says nothing.
    pub(super) unless: Option<(&'static str, &'static str)>,
}

/// The layout of a file.
#[derive(Debug)]
pub(super) struct Layout {
    /// As `layout` names it.
    pub(super) name: &'static str,
    /// The column of the key; `None` if each line is a key and there is no head.
    pub(super) key: Option<&'static str>,
    /// Columns that name the product, for `types`.
    pub(super) products: &'static [&'static str],
    /// The end.
    pub(super) ends: Option<&'static str>,
    /// How it stands. Where columns differ, the gravest counts.
    pub(super) states: &'static [States],
    /// Numbers by which staff find the purchase again; they go, sealed, into the private metadata.
    pub(super) references: &'static [&'static str],
    /// Whether it lists sales: some have no key, and several may have the same.
    pub(super) is_of_sales: bool,
}

use Standing::{Over, Revoked, Suspended, Usable};

const NO: (&str, Standing) = ("0", Usable);
const FALSE: (&str, Standing) = ("false", Usable);

const fn states(column: &'static str, words: &'static [(&'static str, Standing)]) -> States {
    States { column, words, unless: None }
}

/// All of them.
pub(super) static LAYOUTS: [Layout; 8] = [
    Layout {
        name: "cryptolens",
        key: Some("Key"),
        products: &["ProductId"],
        ends: Some("Expires"),
        states: &[states("Block", &[FALSE, ("true", Suspended), NO, ("1", Suspended)])],
        references: &["GlobalId"],
        is_of_sales: false,
    },
    Layout {
        name: "gumroad",
        key: Some("License Key"),
        products: &["Item Name", "Product ID", "Variants"],
        ends: Some("Subscription End Date"),
        states: &[
            states("License Key Enabled?", &[("1", Usable), ("0", Suspended)]),
            states("Access Revoked?", &[NO, ("1", Suspended)]),
            states("Fully Refunded?", &[NO, ("1", Revoked)]),
            States {
                column: "Disputed?",
                words: &[NO, ("1", Suspended)],
                unless: Some(("Dispute Won?", "1")),
            },
        ],
        references: &["Purchase ID", "Order Number"],
        is_of_sales: true,
    },
    Layout {
        name: "keyauth",
        key: Some("key"),
        products: &["level"],
        ends: None,
        states: &[],
        references: &[],
        is_of_sales: false,
    },
    Layout {
        name: "keygen",
        key: Some("key"),
        products: &["policy", "product"],
        ends: Some("expiry"),
        states: &[states("suspended", &[FALSE, ("true", Suspended)])],
        references: &["id"],
        is_of_sales: false,
    },
    Layout {
        name: "lemon-squeezy",
        key: Some("key"),
        products: &["product_id"],
        ends: Some("expires_at"),
        states: &[
            states(
                "status",
                &[("inactive", Usable), ("active", Usable), ("expired", Over), ("disabled", Suspended)],
            ),
            states("disabled", &[FALSE, ("true", Suspended), NO, ("1", Suspended)]),
        ],
        references: &["order_id"],
        is_of_sales: false,
    },
    Layout {
        name: "license-manager-for-woocommerce",
        key: Some("license_key"),
        products: &["product_name", "product_id"],
        ends: Some("expires_at"),
        states: &[states(
            "status",
            &[("sold", Usable), ("delivered", Usable), ("active", Usable), ("inactive", Suspended)],
        )],
        references: &["order_id", "order_num"],
        is_of_sales: false,
    },
    Layout {
        name: "lines",
        key: None,
        products: &[],
        ends: None,
        states: &[],
        references: &[],
        is_of_sales: false,
    },
    Layout {
        name: "wc-key-manager",
        key: Some("key"),
        products: &["product_id"],
        ends: Some("expires_at"),
        states: &[],
        references: &[],
        is_of_sales: false,
    },
];

/// The layout of this name.
pub(super) fn named(name: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.name == name)
}

/// The names of all, with commas.
pub(super) fn names() -> String {
    LAYOUTS.iter().map(|layout| layout.name).collect::<Vec<_>>().join(", ")
}

impl Layout {
    /// Whether anything is read from this column.
    pub(super) fn reads(&self, column: &str) -> bool {
        let states =
            self.states.iter().flat_map(|states| [Some(states.column), states.unless.map(|(name, _)| name)]);
        let one = [self.key, self.ends].into_iter().chain(states).flatten();
        one.chain(self.products.iter().chain(self.references).copied()).any(|name| is(name, column))
    }
}

/// Whether a column of a file is the one of this name.
pub(super) fn is(name: &str, column: &str) -> bool {
    name.eq_ignore_ascii_case(column.trim())
}
