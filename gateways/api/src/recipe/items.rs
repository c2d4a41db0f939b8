//! What became of each of many things that one order was about.

use commands::{Application, Fate, Revocation, TermsFate};
use domain::id::LicenseId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Recipe;
use crate::openapi::types as doc;

/// What was not read of another system's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PassedOver {
    /// Rows.
    pub(crate) skipped: usize,
    pub(crate) ignored_columns: Vec<String>,
}

/// Licenses that took, or did not take, the terms of their type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Applied {
    pub(crate) data: Vec<AppliedItem>,
    /// Where the next order begins.
    pub(crate) next_cursor: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppliedItem {
    id: LicenseId,
    status: AppliedStatus,
    /// Of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AppliedStatus {
    Changed,
    /// It has these terms already.
    Unchanged,
    Refused,
    NotFound,
}

impl From<&Application> for AppliedItem {
    fn from(one: &Application) -> Self {
        let (status, code) = match &one.fate {
            TermsFate::Changed => (AppliedStatus::Changed, None),
            TermsFate::Unchanged => (AppliedStatus::Unchanged, None),
            TermsFate::Refused(refused) => (AppliedStatus::Refused, Some(refused.code.to_string())),
            TermsFate::NotFound => (AppliedStatus::NotFound, None),
        };
        Self { id: one.license, status, code }
    }
}

impl Applied {
    pub(crate) fn new(applications: &[Application], next_cursor: Option<String>) -> Self {
        Self { data: applications.iter().map(AppliedItem::from).collect(), next_cursor }
    }
}

/// One license of an order to revoke many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RevokedItem {
    #[schema(value_type = doc::LicenseId)]
    id: LicenseId,
    status: ItemStatus,
    /// Of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RevokedStatus)]
enum ItemStatus {
    Revoked,
    Refused,
    NotFound,
}

impl From<&Revocation> for RevokedItem {
    fn from(one: &Revocation) -> Self {
        let (status, code) = match &one.fate {
            Fate::Revoked => (ItemStatus::Revoked, None),
            Fate::Refused(refused) => (ItemStatus::Refused, Some(refused.code.to_string())),
            Fate::NotFound => (ItemStatus::NotFound, None),
        };
        Self { id: one.license, status, code }
    }
}

/// The recipe of an order to revoke many, once it is known what became of each.
pub(crate) fn revoked(revocations: &[Revocation]) -> Recipe {
    Recipe::Revoked { items: revocations.iter().map(RevokedItem::from).collect() }
}
