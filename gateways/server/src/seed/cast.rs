//! Who and what the demo is about: one Discord server, its roles and its people, with ids that never change, so
//! that scripts may rely on them. Nothing here happens; what happens stands in `script.rs`.

use domain::credential::ApiKeyId;
use domain::id::{ChannelId, DiscordId, GuildId, LicenseId, RoleId};

/// The server's id.
pub(crate) const GUILD: GuildId = GuildId(871_000_000_000_000_001);
/// The server's name.
pub(crate) const GUILD_NAME: &str = "Northwind Games";
/// Who owns the server.
pub(crate) const OWNER: &str = "grace";
/// The machine that the banner's request names.
pub(crate) const BANNER_DEVICE: &str = "linus-workstation";
/// Whose license the banner's request names.
pub(crate) const BANNER_MEMBER: &str = "linus";

/// Names and ids of the roles.
pub(crate) const ROLES: [(&str, RoleId); 3] = [
    ("Pro", RoleId(871_000_000_000_001_001)),
    ("Team", RoleId(871_000_000_000_001_002)),
    ("Admin", RoleId(871_000_000_000_001_009)),
];

/// The channel in which the server's staff read what the bot reports.
pub(crate) const LOG_CHANNEL: ChannelId = ChannelId(871_000_000_000_003_001);
/// The channel in which everybody talks.
pub(crate) const GENERAL_CHANNEL: ChannelId = ChannelId(871_000_000_000_003_002);

/// Names of the members; the n-th has the id 871000000000002001 + n.
pub(crate) const MEMBERS: [&str; 19] = [
    OWNER,
    "ada",
    BANNER_MEMBER,
    "barbara",
    "edsger",
    "donald",
    "katherine",
    "dennis",
    "radia",
    "ken",
    "frances",
    "john",
    "tim",
    "alan",
    "joan",
    "niklaus",
    "seymour",
    "adele",
    "hedy",
];

/// The account of a member; an unknown name is the owner, and a test holds that the script names none.
pub(crate) fn member(name: &str) -> DiscordId {
    let place = MEMBERS.iter().position(|known| *known == name).unwrap_or_default();
    DiscordId(871_000_000_000_002_001 + place as u64)
}

/// A role; an unknown name is the first one, and a test holds that the script names none.
pub(crate) fn role(name: &str) -> RoleId {
    ROLES.iter().find(|(known, _)| *known == name).map_or(ROLES[0].1, |(_, id)| *id)
}

/// The publishable key of the game client, which the banner prints.
pub(crate) fn client_key() -> ApiKeyId {
    ApiKeyId::new(GUILD, [0, 0, 0, 1])
}

/// The n-th license that no role gave: a UUID v4 in form, the same in every demo.
pub(crate) fn made(number: u16) -> LicenseId {
    let [high, low] = number.to_be_bytes();
    let bytes = [0xde, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low];
    LicenseId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
