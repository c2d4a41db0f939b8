//! What a server says when it begins to serve: what it is, in which mode, where its data and its address are, and
//! in the demo a request that can be pasted. It goes to the standard output, never into the log, because that
//! request holds a license key.

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
}

/// The banner. In the demo its last line is the request.
///
/// # Errors
/// If the demo's license cannot be loaded.
pub(crate) async fn banner(place: &Place<'_>, commands: &Commands) -> Outcome<String> {
    let Place { url, data, mode } = place;
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
        "  API       docs/API-DESIGN.md; the dashboard and its sign-in link come with a later release"
            .to_owned(),
        "  commands  dca-auth --help  -  dca-auth admin token  -  dca-auth status".to_owned(),
    ];
    if *mode == Mode::Demo {
        lines.push(String::new());
        lines.push("  Validate a license of the demo (answers VALID):".to_owned());
        lines.push(String::new());
        lines.push(request(url, commands).await?);
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
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
