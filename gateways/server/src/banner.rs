//! What a server says when it begins to serve: what it is, in which mode, where its data and its address are, and
//! in the demo a request that can be pasted. It goes to the standard output, never into the log, because that
//! request holds a license key, and the sign-in link a claim.

use commands::Commands;
use domain::credential::{self, ApiKeyKind};
use domain::key;

use crate::failure::{Attempt as _, Failure, Outcome};
use crate::mode::Mode;
use crate::seed;

/// Where things are.
pub(crate) struct Place<'a> {
    /// Where the server answers.
    pub(crate) url: &'a str,
    /// Where the log of events is kept, as a person would say it.
    pub(crate) data: String,
    /// Demo or live.
    pub(crate) mode: Mode,
    /// Where the simulated Discord's control API answers.
    pub(crate) simulator: Option<String>,
    /// Where whoever signs in first owns the platform; `None` once somebody does, or if nobody can sign in.
    pub(crate) sign_in_link: Option<String>,
}

/// The banner. In the demo it ends with requests to try.
///
/// # Errors
/// If the demo's license cannot be loaded.
pub(crate) async fn banner(place: &Place<'_>, commands: &Commands) -> Outcome<String> {
    let Place { url, data, mode, .. } = place;
    let what = match mode {
        Mode::Demo => "demo: Discord is simulated; licenses, events and keys are real",
        Mode::Live => "live",
    };
    let mut lines = vec![
        String::new(),
        format!("  DCA-Auth {}  -  license keys joined to Discord", env!("CARGO_PKG_VERSION")),
        String::new(),
        format!("  mode      {what}"),
        format!("  data      {data}"),
        format!("  address   {url}"),
        format!("  API       {url}/docs; the dashboard comes with a later release"),
        "  commands  dca-auth --help  -  dca-auth admin token  -  dca-auth status".to_owned(),
    ];
    if *mode == Mode::Demo {
        lines.push(String::new());
        lines.push("  Validate a license of the demo (answers VALID):".to_owned());
        lines.push(String::new());
        lines.push(request(url, commands).await?);
        lines.extend(place.simulator.iter().flat_map(|simulator| discord(simulator)));
    }
    lines.extend(place.sign_in_link.iter().flat_map(|link| claim(link)));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// How the platform gets its owner.
fn claim(link: &str) -> Vec<String> {
    vec![
        String::new(),
        "  Nobody owns this platform yet. Whoever signs in with Discord by this link owns it, so keep it to"
            .to_owned(),
        "  yourself; `dca-auth admin sign-in-link` prints it again:".to_owned(),
        String::new(),
        format!("  {link}"),
    ]
}

/// What a moderator and a member would do, as lines for a shell.
fn discord(simulator: &str) -> Vec<String> {
    let (guild, ada, role) = (seed::GUILD, seed::member("ada"), seed::ROLES[0].1);
    vec![
        String::new(),
        "  Give the member ada the role Pro on the simulated Discord, and read the key in her inbox:"
            .to_owned(),
        String::new(),
        format!("  curl -s -X POST {simulator}/_control/guilds/{guild}/members/{ada}/roles/{role}"),
        format!("  curl -s {simulator}/_control/users/{ada}/inbox"),
    ]
}

/// A validation of the demo's first license, as a line for a shell.
async fn request(url: &str, commands: &Commands) -> Outcome<String> {
    let license = commands.load_license(seed::banner_license(commands)).await;
    let license = license.attempt(|| "the demo's license cannot be loaded".to_owned())?;
    let guild =
        commands.load_guild(seed::GUILD).await.attempt(|| "the demo's guild cannot be loaded".to_owned())?;
    let mac = commands.ring().as_ref();
    let key = key::render(mac, &guild.settings.key_prefix, license.id, license.key)
        .ok_or_else(|| Failure::new("the key ring lacks the secret of the demo's license"))?;
    let api_key = credential::render(mac, ApiKeyKind::Publishable, seed::client_key());
    let body = format!(r#"{{"key":"{key}","deviceId":"{}"}}"#, seed::BANNER_DEVICE);
    Ok(format!(
        "  curl -s {url}/licenses/validate -H 'X-API-Key: {api_key}' -H 'Content-Type: application/json' -d '{body}'"
    ))
}
