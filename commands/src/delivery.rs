//! What became of handing a key to its owner. Messages themselves are a gateway's matter; the key stands in none of
//! these commands.

use domain::id::{GuildId, LicenseId, Pseudonym};
use domain::key::KeyVersion;
use domain::license::{self, License};
use domain::member::{self, Member};

use crate::{CommandError, Commands, Context, Done};

impl Commands {
    /// Records that a license's key was shown to its owner over `channel`, for example `dm` or `reveal`.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] for an unknown license.
    pub async fn record_delivery(
        &self,
        context: &Context,
        id: LicenseId,
        channel: &str,
        key: KeyVersion,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, license::Action::RecordDelivery { channel: channel.to_owned(), key }).await
    }

    /// Records that a direct message could not be delivered; `code` is Discord's.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] for an unknown member.
    pub async fn record_delivery_failure(
        &self,
        context: &Context,
        guild: GuildId,
        user: &Pseudonym,
        code: u32,
    ) -> Result<Done<Member>, CommandError> {
        self.member(context, guild, user, member::Action::RecordDeliveryFailure { code }).await
    }
}
