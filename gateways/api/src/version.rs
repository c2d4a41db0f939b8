//! The versions of this API: a change that breaks programs makes a new one, named by its day, and those before it are still
//! spoken. A request is answered in the version that it names (`DCA-Version`), else in the one that its API key was issued
//! in, else in the newest. What differs between versions stands where it differs.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::credential::ApiVersion;

use crate::error::ApiError;

/// Names the version in requests and in answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("dca-version");

/// A version of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The first one.
    V20261101,
}

impl Version {
    /// All of them, the oldest one first.
    pub(crate) const ALL: [Self; 1] = [Self::V20261101];
    /// That of API keys from before there were versions.
    pub(crate) const FIRST: Self = Self::V20261101;
    /// That of whoever says nothing.
    pub(crate) const NEWEST: Self = Self::V20261101;

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V20261101 => "2026-11-01",
        }
    }

    /// The same as the value of a header, made when the program was built.
    pub(crate) fn header(self) -> HeaderValue {
        match self {
            Self::V20261101 => const { HeaderValue::from_static(Self::V20261101.as_str()) },
        }
    }

    /// The same as events have it.
    pub(crate) fn stored(self) -> Option<ApiVersion> {
        self.as_str().parse().ok()
    }

    /// The version that an API key was issued in. One that is not known was issued by a later release of this program.
    pub(crate) fn of_key(stored: Option<ApiVersion>) -> Self {
        stored.map_or(Self::FIRST, |stored| Self::named(stored.as_str()).unwrap_or(Self::NEWEST))
    }

    /// The version that a request names.
    ///
    /// # Errors
    /// 400 if there is none of that name.
    pub(crate) fn asked(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        match value.to_str().ok().and_then(Self::named) {
            Some(version) => Ok(Some(version)),
            None => {
                let known = Self::ALL.map(|one| format!("`{}`", one.as_str())).join(", ");
                let detail =
                    format!("must be a version of this API: {known}; leave it out for that of the API key");
                Err(ApiError::invalid("DCA-Version", "WRONG_FORM", detail))
            }
        }
    }

    fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_days_in_their_order_and_are_kept_by_name() {
        assert!(Version::ALL.is_sorted_by_key(|one| one.as_str()));
        assert_eq!(
            (Version::ALL.first(), Version::ALL.last()),
            (Some(&Version::FIRST), Some(&Version::NEWEST))
        );
        for version in Version::ALL {
            assert!(version.stored().is_some(), "{version:?}");
            assert_eq!(Version::of_key(version.stored()), version);
        }
        assert_eq!(Version::of_key(None), Version::FIRST);
        assert_eq!(Version::of_key("2999-01-01".parse().ok()), Version::NEWEST);
    }
}
