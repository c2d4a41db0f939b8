//! The verdict on a license: one pure function of facts, request and instant. It runs for every validation, so
//! it allocates nothing unless it has to list missing entitlements. Facts are cached by others, verdicts never.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::device::{DeviceClaim, Recognition, recognise};
use crate::key::KeyVersion;
use crate::license::{Device, Hold, License, RevokeCategory, Stage};
use crate::time::Timestamp;

/// The code of a verdict, in the order in which they are looked at. Wire names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// No key: wrong length, alphabet, prefix or check symbols.
    MalformedKey,
    /// A key that was never made here, or a license of another guild.
    NotFound,
    /// The license has another key by now.
    KeySuperseded,
    /// Its owner is banned.
    UserBanned,
    /// Ended for good.
    Revoked,
    /// Held.
    Suspended,
    /// Before its start.
    NotYetValid,
    /// Past its end and its grace.
    Expired,
    /// Needs an owner and has none.
    NotAssigned,
    /// Of another type than the request names.
    TypeMismatch,
    /// Without an entitlement that the request names.
    EntitlementsMissing,
    /// Needs a device and the request names none.
    DeviceRequired,
    /// The device is not active on this license.
    DeviceNotActivated,
    /// Past its end, inside its grace.
    InGrace,
    /// Valid.
    Valid,
}

impl Code {
    /// Every code, in the order in which they are looked at.
    pub const ALL: [Self; 15] = [
        Self::MalformedKey,
        Self::NotFound,
        Self::KeySuperseded,
        Self::UserBanned,
        Self::Revoked,
        Self::Suspended,
        Self::NotYetValid,
        Self::Expired,
        Self::NotAssigned,
        Self::TypeMismatch,
        Self::EntitlementsMissing,
        Self::DeviceRequired,
        Self::DeviceNotActivated,
        Self::InGrace,
        Self::Valid,
    ];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedKey => "MALFORMED_KEY",
            Self::NotFound => "NOT_FOUND",
            Self::KeySuperseded => "KEY_SUPERSEDED",
            Self::UserBanned => "USER_BANNED",
            Self::Revoked => "REVOKED",
            Self::Suspended => "SUSPENDED",
            Self::NotYetValid => "NOT_YET_VALID",
            Self::Expired => "EXPIRED",
            Self::NotAssigned => "NOT_ASSIGNED",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::EntitlementsMissing => "ENTITLEMENTS_MISSING",
            Self::DeviceRequired => "DEVICE_REQUIRED",
            Self::DeviceNotActivated => "DEVICE_NOT_ACTIVATED",
            Self::InGrace => "IN_GRACE",
            Self::Valid => "VALID",
        }
    }

    /// Whether the license may be used.
    pub const fn is_valid(self) -> bool {
        matches!(self, Self::Valid | Self::InGrace)
    }

    /// Whether the answer may show the license at all: not for text that is no key, nor for a key that does not
    /// open the license any more.
    pub const fn shows_license(self) -> bool {
        !matches!(self, Self::MalformedKey | Self::NotFound | Self::KeySuperseded)
    }
}

/// What a request names beside the license. What it leaves out is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// What the presented key says of itself; `None` if the license was not named by one of our keys.
    pub presented: Option<KeyVersion>,
    /// The device that asks.
    pub device: Option<&'a DeviceClaim>,
    /// Slug of the type that the program accepts.
    pub license_type: Option<&'a str>,
    /// Entitlements that the program needs, all of them.
    pub entitlements: &'a [String],
}

/// Whether the two device checks are part of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// As a validation asks.
    Check,
    /// As an activation asks, which is about to bring the device.
    LeaveOut,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What was found; [`Code::is_valid`] is the yes or no.
    pub code: Code,
    /// A sentence for people. Fixed words in three cases: the category for `REVOKED`, `components` for
    /// `DEVICE_NOT_ACTIVATED` where only the components differ, and the list for `ENTITLEMENTS_MISSING`.
    pub detail: Cow<'static, str>,
    /// The active device that asked, if it was recognised.
    pub device: Option<&'a Device>,
}

impl Verdict<'_> {
    /// The verdict on a text that is no key; no license was looked at.
    pub const fn malformed_key() -> Self {
        Self::fixed(
            Code::MalformedKey,
            "The text is not a license key: its length, letters or check symbols are wrong.",
        )
    }

    /// The verdict where there is no license to look at, whichever of the reasons it is.
    pub const fn not_found() -> Self {
        Self::fixed(Code::NotFound, "No license belongs to this key.")
    }

    /// The verdict on a key that was changed for another since.
    pub const fn key_superseded() -> Self {
        Self::fixed(Code::KeySuperseded, "The license has a new key; ask its owner or the staff for it.")
    }

    /// Whether the license may be used.
    pub const fn is_valid(&self) -> bool {
        self.code.is_valid()
    }

    const fn fixed(code: Code, detail: &'static str) -> Self {
        Self { code, detail: Cow::Borrowed(detail), device: None }
    }
}

/// The verdict at `now`. The conditions are looked at in the order of [`Code`], and the first that applies wins.
pub fn decide<'a>(
    license: &'a License,
    owner_banned: bool,
    request: &Request<'_>,
    now: Timestamp,
    devices: Devices,
) -> Verdict<'a> {
    if let Some(verdict) = refused_by_license(license, owner_banned, request, now) {
        return verdict;
    }
    if let Some(verdict) = refused_by_request(license, request) {
        return verdict;
    }
    let device = match devices {
        Devices::LeaveOut => None,
        Devices::Check => match recognised(license, request) {
            Ok(device) => device,
            Err(verdict) => return verdict,
        },
    };
    let in_grace = license.expires_at.is_some_and(|end| now >= end);
    let verdict = if in_grace {
        Verdict::fixed(
            Code::InGrace,
            "The license is past its end and valid for the rest of its grace; renew it.",
        )
    } else {
        Verdict::fixed(Code::Valid, "The license is valid.")
    };
    Verdict { device, ..verdict }
}

/// What the license itself says, whatever is asked of it.
fn refused_by_license(
    license: &License,
    owner_banned: bool,
    request: &Request<'_>,
    now: Timestamp,
) -> Option<Verdict<'static>> {
    let refused = |code, detail| Some(Verdict::fixed(code, detail));
    if license.stage == Stage::Absent {
        Some(Verdict::not_found())
    } else if request.presented.is_some_and(|key| key != license.key) {
        Some(Verdict::key_superseded())
    } else if owner_banned {
        refused(Code::UserBanned, "The owner of the license is banned.")
    } else if license.stage == Stage::Revoked {
        refused(Code::Revoked, license.revoked.unwrap_or(RevokeCategory::Manual).as_str())
    } else if let Some(hold) = license.holds.first() {
        refused(Code::Suspended, suspended_by(*hold))
    } else if license.starts_at.is_some_and(|start| now < start) {
        refused(Code::NotYetValid, "The license begins later; see `startsAt`.")
    } else if license.has_expired(now) {
        refused(Code::Expired, "The license is past its end and its grace; renew it.")
    } else if license.terms.require_owner && license.owner.is_none() {
        refused(Code::NotAssigned, "The license needs an owner; redeem the key first.")
    } else {
        None
    }
}

const fn suspended_by(hold: Hold) -> &'static str {
    match hold {
        Hold::Admin => "The staff suspended the license; ask them to resume it.",
        Hold::Policy => "An automatic rule suspended the license; ask the staff to resume it.",
        Hold::RoleLoss => "The owner lost the role that gives the license; it resumes when the role returns.",
    }
}

/// What the request names and the license does not have.
fn refused_by_request(license: &License, request: &Request<'_>) -> Option<Verdict<'static>> {
    if request.license_type.is_some_and(|named| named != license.license_type) {
        return Some(Verdict::fixed(
            Code::TypeMismatch,
            "The license is of another type than the one asked for.",
        ));
    }
    let lacks = |name: &&String| !license.terms.entitlements.contains(*name);
    let first = request.entitlements.iter().find(lacks)?;
    let mut detail = format!("The license does not include: {first}");
    for name in request.entitlements.iter().filter(lacks).skip(1) {
        detail.push_str(", ");
        detail.push_str(name);
    }
    Some(Verdict { code: Code::EntitlementsMissing, detail: Cow::Owned(detail), device: None })
}

/// The device that asks: none if the request names none and none is needed.
fn recognised<'a>(
    license: &'a License,
    request: &Request<'_>,
) -> Result<Option<&'a Device>, Verdict<'static>> {
    let Some(claim) = request.device else {
        return if license.terms.require_device {
            Err(Verdict::fixed(Code::DeviceRequired, "The license is bound to devices; send `deviceId`."))
        } else {
            Ok(None)
        };
    };
    match recognise(&license.devices, license.terms.device_match, claim) {
        Recognition::Known(device) => Ok(Some(device)),
        Recognition::Mismatch => Err(Verdict::fixed(Code::DeviceNotActivated, "components")),
        Recognition::Unknown => Err(Verdict::fixed(
            Code::DeviceNotActivated,
            "The device is not active on this license; activate it first.",
        )),
    }
}

#[cfg(test)]
mod tests;
