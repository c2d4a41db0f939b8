//! Every text that people on Discord read, in every language. A language is one constant of one struct: a text that is
//! missing in one of them does not compile. Names that come from outside are made harmless before they stand in one.

use domain::guild::Locale;

/// Longest name that is shown.
const NAME_MAX_CHARS: usize = 80;

/// The texts of one language. `{name}` stands for a value that is put in by [`fill`].
pub(crate) struct Texts {
    pub(crate) dm_granted: &'static str,
    pub(crate) dm_rekeyed: &'static str,
    pub(crate) log_bulk: &'static str,
    pub(crate) log_bulk_line: &'static str,
    pub(crate) log_undeliverable: &'static str,
    pub(crate) log_removals: &'static str,
    pub(crate) log_rule_broken: &'static str,
    pub(crate) log_sharing: &'static str,
    pub(crate) log_sharing_held: &'static str,
    pub(crate) sharing_devices: &'static str,
    pub(crate) sharing_networks: &'static str,
    pub(crate) sharing_churn: &'static str,
    pub(crate) sharing_other: &'static str,
    pub(crate) list_none: &'static str,
    pub(crate) list_title: &'static str,
    pub(crate) list_line: &'static str,
    pub(crate) list_more: &'static str,
    pub(crate) show_title: &'static str,
    pub(crate) show_status: &'static str,
    pub(crate) show_devices: &'static str,
    pub(crate) show_devices_any: &'static str,
    pub(crate) show_expires: &'static str,
    pub(crate) show_perpetual: &'static str,
    pub(crate) show_role_loss: &'static str,
    pub(crate) show_which: &'static str,
    pub(crate) show_reveal: &'static str,
    pub(crate) show_ended: &'static str,
    pub(crate) key_is: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) only_in_guild: &'static str,
    pub(crate) not_allowed: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) sync_done: &'static str,
    pub(crate) sync_granted: &'static str,
    pub(crate) sync_lost: &'static str,
    pub(crate) sync_grace: &'static str,
    pub(crate) sync_waits: &'static str,
    pub(crate) sync_undecided: &'static str,
    pub(crate) check_title: &'static str,
    pub(crate) check_registered: &'static str,
    pub(crate) check_intent: &'static str,
    pub(crate) check_intent_off: &'static str,
    pub(crate) check_roles: &'static str,
    pub(crate) check_no_rules: &'static str,
    pub(crate) check_broken: &'static str,
    pub(crate) check_log: &'static str,
    pub(crate) check_log_none: &'static str,
    pub(crate) check_log_silent: &'static str,
    pub(crate) check_dms: &'static str,
    pub(crate) check_dms_stopped: &'static str,
    pub(crate) check_sweep: &'static str,
    pub(crate) check_sweep_failed: &'static str,
    pub(crate) check_sweep_none: &'static str,
    pub(crate) check_held: &'static str,
    pub(crate) about_license: &'static str,
    pub(crate) about_license_list: &'static str,
    pub(crate) about_license_show: &'static str,
    pub(crate) about_license_option: &'static str,
    pub(crate) about_setup: &'static str,
    pub(crate) about_setup_check: &'static str,
    pub(crate) about_sync: &'static str,
    pub(crate) about_sync_me: &'static str,
    pub(crate) status_generated: &'static str,
    pub(crate) status_assigned: &'static str,
    pub(crate) status_activated: &'static str,
    pub(crate) status_active: &'static str,
    pub(crate) status_renewed: &'static str,
    pub(crate) status_suspended: &'static str,
    pub(crate) status_expired: &'static str,
    pub(crate) status_revoked: &'static str,
}

/// English.
pub(crate) const EN: Texts = Texts {
    dm_granted: "**{guild}** gave you a license: **{type}**\n\n`{key}`\n\nIt is yours: do not share it. \
                 `/license show` on the server shows it again, with its devices and its end.",
    dm_rekeyed: "Your license **{type}** of **{guild}** has a new key; the one before does not work any more:\n\n`{key}`\n\n\
                 It is yours: do not share it. Put it in wherever you used the other one.",
    log_bulk: "These licenses were granted together, without direct messages. Everybody sees the key with `/license show`.",
    log_bulk_line: "• **{type}**: {count}",
    log_undeliverable: "{count} got no direct message, because it is closed or switched off; `/license show` shows the key.",
    log_removals: "**{count}** members would lose their license now, more than the brake lets through. Their licenses \
                   stay valid until somebody confirms it: `dca-auth removals confirm {batch} --guild {guild}`, or give the roles back.",
    log_rule_broken: "The role of the rule for **{type}** was deleted. What it gave stays valid; map the type to \
                      another role, or remove the rule.",
    log_sharing: "A key seems to be shared: **{type}**, license `{license}`: {seen}.",
    log_sharing_held: "The license is suspended (`policy`) until staff resume it.",
    sharing_devices: "{count} different devices in {window}, more than {limit}",
    sharing_networks: "different devices from {count} networks in {window}, more than {limit}",
    sharing_churn: "{count} activations and deactivations in {window}, more than {limit}",
    sharing_other: "the rule {rule} fired",
    list_none: "You have no license on this server. A role that gives one brings it by itself; `/sync me` looks again.",
    list_title: "Your licenses on **{guild}**",
    list_line: "• **{type}** — {status} — devices {devices} — {end}",
    list_more: "… and {count} more.",
    show_title: "**{type}** on **{guild}**",
    show_status: "Status: {status}",
    show_devices: "Devices: {count} of {max}",
    show_devices_any: "Devices: {count}",
    show_expires: "Ends: <t:{at}:f>",
    show_perpetual: "Does not end",
    show_role_loss: "Your role is gone: the license ends <t:{at}:R> unless the role comes back.",
    show_which: "You have several licenses: say which with the option `license`.",
    show_reveal: "Show key",
    show_ended: "This license has ended; its key is not shown any more.",
    key_is: "Your key for **{type}**: only you see this.\n`{key}`",
    not_found: "There is no such license of yours here.",
    only_in_guild: "This works on a server only.",
    not_allowed: "This needs the permission Manage Server.",
    failed: "That did not work; nothing was changed. Try again in a moment, and name this to staff if it stays: `{id}`",
    sync_done: "Looked again: everything is as your roles say.",
    sync_granted: "Granted: **{type}**. `/license show` shows the key.",
    sync_lost: "Gone with its role: **{type}**.",
    sync_grace: "**{type}** ends <t:{at}:R> unless its role comes back.",
    sync_waits: "The loss of **{type}** waits until staff confirm it.",
    sync_undecided: "Discord did not answer clearly, so nothing was changed. Try again in a moment.",
    check_title: "**Setup of {guild}**",
    check_registered: "✅ The server is known; owner and staff roles are followed.",
    check_intent: "✅ Members are followed (privileged intent Server Members).",
    check_intent_off: "⚠️ The privileged intent Server Members is off: holders are looked at one by one.",
    check_roles: "✅ {count} role rules.",
    check_no_rules: "⚠️ No role gives a license yet: add a rule.",
    check_broken: "❌ The role of a rule for **{type}** is gone: map it to another role, or remove the rule.",
    check_log: "✅ Reports go to <#{channel}>.",
    check_log_none: "⚠️ No log channel: set one, so that bulk grants and waiting removals are announced.",
    check_log_silent: "❌ The log channel cannot be written to ({why}).",
    check_dms: "✅ Keys go out by direct message.",
    check_dms_stopped: "❌ Direct messages are stopped, because Discord found them too many. An operator resumes them \
                        with `dca-auth discord resume`.",
    check_sweep: "✅ All {count} members were last looked at <t:{at}:R>.",
    check_sweep_failed: "⚠️ The last look at all members decided nothing: {why}",
    check_sweep_none: "⚠️ Not all members were looked at yet.",
    check_held: "⚠️ {count} removals wait to be confirmed.",
    about_license: "Your licenses on this server",
    about_license_list: "List your licenses",
    about_license_show: "Show one license, and its key if you want",
    about_license_option: "Which license",
    about_setup: "Set up licenses on this server",
    about_setup_check: "Check that everything is set up",
    about_sync: "Bring licenses up to date",
    about_sync_me: "Look at your own roles again",
    status_generated: "new",
    status_assigned: "not used yet",
    status_activated: "activated",
    status_active: "active",
    status_renewed: "renewed",
    status_suspended: "suspended",
    status_expired: "expired",
    status_revoked: "revoked",
};

/// German.
pub(crate) const DE: Texts = Texts {
    dm_granted: "**{guild}** hat dir eine Lizenz gegeben: **{type}**\n\n`{key}`\n\nSie gehört dir: gib sie nicht weiter. \
                 `/license show` auf dem Server zeigt sie wieder, mit ihren Geräten und ihrem Ende.",
    dm_rekeyed: "Deine Lizenz **{type}** von **{guild}** hat einen neuen Schlüssel; der vorige gilt nicht mehr:\n\n\
                 `{key}`\n\nEr gehört dir: gib ihn nicht weiter. Trag ihn überall ein, wo du den anderen benutzt hast.",
    log_bulk: "Diese Lizenzen wurden zusammen vergeben, ohne Direktnachrichten. Jeder sieht den Schlüssel mit \
               `/license show`.",
    log_bulk_line: "• **{type}**: {count}",
    log_undeliverable: "{count} bekamen keine Direktnachricht, weil sie zu oder abgeschaltet ist; `/license show` zeigt den Schlüssel.",
    log_removals: "**{count}** Mitglieder würden jetzt ihre Lizenz verlieren, mehr als die Bremse durchlässt. Ihre \
                   Lizenzen gelten, bis jemand es bestätigt: `dca-auth removals confirm {batch} --guild {guild}`, oder gib die Rollen \
                   zurück.",
    log_rule_broken: "Die Rolle der Regel für **{type}** wurde gelöscht. Was sie gab, gilt weiter; ordne dem Typ eine \
                      andere Rolle zu oder entferne die Regel.",
    log_sharing: "Ein Schlüssel wird offenbar geteilt: **{type}**, Lizenz `{license}`: {seen}.",
    log_sharing_held: "Die Lizenz ist ausgesetzt (`policy`), bis das Team sie wieder freigibt.",
    sharing_devices: "{count} verschiedene Geräte in {window}, mehr als {limit}",
    sharing_networks: "verschiedene Geräte aus {count} Netzen in {window}, mehr als {limit}",
    sharing_churn: "{count} Aktivierungen und Deaktivierungen in {window}, mehr als {limit}",
    sharing_other: "die Regel {rule} hat angeschlagen",
    list_none: "Du hast auf diesem Server keine Lizenz. Eine Rolle, die eine gibt, bringt sie von selbst; `/sync me` \
                schaut noch einmal nach.",
    list_title: "Deine Lizenzen auf **{guild}**",
    list_line: "• **{type}** — {status} — Geräte {devices} — {end}",
    list_more: "… und {count} weitere.",
    show_title: "**{type}** auf **{guild}**",
    show_status: "Status: {status}",
    show_devices: "Geräte: {count} von {max}",
    show_devices_any: "Geräte: {count}",
    show_expires: "Endet: <t:{at}:f>",
    show_perpetual: "Endet nicht",
    show_role_loss: "Deine Rolle ist weg: Die Lizenz endet <t:{at}:R>, wenn die Rolle nicht wiederkommt.",
    show_which: "Du hast mehrere Lizenzen: sag mit der Option `license`, welche.",
    show_reveal: "Schlüssel zeigen",
    show_ended: "Diese Lizenz ist zu Ende; ihr Schlüssel wird nicht mehr gezeigt.",
    key_is: "Dein Schlüssel für **{type}**: nur du siehst das.\n`{key}`",
    not_found: "So eine Lizenz hast du hier nicht.",
    only_in_guild: "Das geht nur auf einem Server.",
    not_allowed: "Das braucht die Berechtigung „Server verwalten“.",
    failed: "Das hat nicht geklappt; nichts wurde geändert. Versuch es gleich noch einmal, und nenn dem Team dies, wenn \
             es bleibt: `{id}`",
    sync_done: "Noch einmal nachgesehen: Alles ist, wie deine Rollen sagen.",
    sync_granted: "Bekommen: **{type}**. `/license show` zeigt den Schlüssel.",
    sync_lost: "Mit der Rolle gegangen: **{type}**.",
    sync_grace: "**{type}** endet <t:{at}:R>, wenn die Rolle nicht wiederkommt.",
    sync_waits: "Der Verlust von **{type}** wartet, bis das Team ihn bestätigt.",
    sync_undecided: "Discord hat nicht klar geantwortet, darum wurde nichts geändert. Versuch es gleich noch einmal.",
    check_title: "**Einrichtung von {guild}**",
    check_registered: "✅ Der Server ist bekannt; Besitzer und Team-Rollen werden verfolgt.",
    check_intent: "✅ Mitglieder werden verfolgt (privilegierter Intent „Server Members“).",
    check_intent_off: "⚠️ Der privilegierte Intent „Server Members“ ist aus: Inhaber werden einzeln angesehen.",
    check_roles: "✅ {count} Rollenregeln.",
    check_no_rules: "⚠️ Noch gibt keine Rolle eine Lizenz: leg eine Regel an.",
    check_broken: "❌ Die Rolle einer Regel für **{type}** ist weg: ordne eine andere Rolle zu oder entferne die Regel.",
    check_log: "✅ Berichte gehen nach <#{channel}>.",
    check_log_none: "⚠️ Kein Log-Kanal: setz einen, damit viele Lizenzen auf einmal und wartende Verluste gemeldet werden.",
    check_log_silent: "❌ In den Log-Kanal kann nicht geschrieben werden ({why}).",
    check_dms: "✅ Schlüssel gehen als Direktnachricht hinaus.",
    check_dms_stopped: "❌ Direktnachrichten sind angehalten, weil es Discord zu viele wurden. Ein Betreiber lässt sie \
                        mit `dca-auth discord resume` wieder zu.",
    check_sweep: "✅ Alle {count} Mitglieder wurden zuletzt <t:{at}:R> angesehen.",
    check_sweep_failed: "⚠️ Der letzte Blick auf alle Mitglieder hat nichts entschieden: {why}",
    check_sweep_none: "⚠️ Noch wurden nicht alle Mitglieder angesehen.",
    check_held: "⚠️ {count} Verluste warten auf Bestätigung.",
    about_license: "Deine Lizenzen auf diesem Server",
    about_license_list: "Deine Lizenzen auflisten",
    about_license_show: "Eine Lizenz zeigen, und auf Wunsch ihren Schlüssel",
    about_license_option: "Welche Lizenz",
    about_setup: "Lizenzen auf diesem Server einrichten",
    about_setup_check: "Prüfen, ob alles eingerichtet ist",
    about_sync: "Lizenzen auf den neuesten Stand bringen",
    about_sync_me: "Deine eigenen Rollen noch einmal ansehen",
    status_generated: "neu",
    status_assigned: "noch nicht benutzt",
    status_activated: "aktiviert",
    status_active: "aktiv",
    status_renewed: "verlängert",
    status_suspended: "ausgesetzt",
    status_expired: "abgelaufen",
    status_revoked: "widerrufen",
};

/// The texts of a language.
pub(crate) const fn of(locale: Locale) -> &'static Texts {
    match locale {
        Locale::En => &EN,
        Locale::De => &DE,
    }
}

/// The language that Discord says somebody uses; English for those we do not have.
pub(crate) fn locale(discord: Option<&str>) -> Locale {
    match discord {
        Some(code) if code == "de" || code.starts_with("de-") => Locale::De,
        _ => Locale::En,
    }
}

/// Puts values into a text. Values are put in once and never read again for placeholders.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        filled.push_str(before);
        let Some(end) = from.find('}') else {
            rest = from;
            break;
        };
        let name = &from[1..end];
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(value),
            None => filled.push_str(&from[..=end]),
        }
        rest = &from[end + 1..];
    }
    filled.push_str(rest);
    filled
}

/// A name from outside that does nothing but name: markup is escaped, mentions are broken, and characters that are
/// invisible, turn the direction of the text around, or control anything are left out.
pub(crate) fn name(text: &str) -> String {
    let mut harmless = String::new();
    for character in text.chars().filter(|c| is_plain(*c)).take(NAME_MAX_CHARS) {
        if "\\*_~`|>#[]()<@:-".contains(character) {
            harmless.push('\\');
        }
        harmless.push(character);
    }
    match harmless.trim() {
        "" => "?".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// Whether a character shows itself and nothing else: no control character, no mark of direction, no character of
/// zero width (Unicode's categories Cc and Cf as far as they occur in names, and the fillers of Hangul and Khmer).
fn is_plain(c: char) -> bool {
    let invisible = matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_do_anything() {
        assert_eq!(name("**bold** `x`"), "\\*\\*bold\\*\\* \\`x\\`");
        assert_eq!(name("@everyone <@1>"), "\\@everyone \\<\\@1\\>");
        assert_eq!(name("a\u{202e}b\u{200b}c\n"), "abc");
        assert_eq!(name("\u{200b}\u{3164}"), "?");
        assert_eq!(name("Müller 日本"), "Müller 日本");
        assert_eq!(name(&"x".repeat(500)).len(), NAME_MAX_CHARS);
    }

    #[test]
    fn values_are_put_in_once() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "2")]), "{b} and 2");
        assert_eq!(fill("{unknown} {", &[]), "{unknown} {");
        assert_eq!(fill("none", &[("a", "1")]), "none");
    }

    #[test]
    fn german_says_what_english_says() {
        fn placeholders(text: &str) -> Vec<&str> {
            let mut found: Vec<&str> =
                text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            found.sort_unstable();
            found
        }
        macro_rules! compare {
            ($($field:ident),+ $(,)?) => {
                $(assert_eq!(placeholders(EN.$field), placeholders(DE.$field), stringify!($field));
                assert!(!DE.$field.is_empty() && !EN.$field.is_empty());)+
            };
        }
        compare!(
            dm_granted,
            dm_rekeyed,
            log_bulk,
            log_bulk_line,
            log_undeliverable,
            log_removals,
            log_rule_broken,
            list_none,
            list_title,
            list_line,
            list_more,
            show_title,
            show_status,
            show_devices,
            show_devices_any,
            show_expires,
            show_perpetual,
            show_role_loss,
            show_which,
            show_reveal,
            show_ended,
            key_is,
            not_found,
            only_in_guild,
            not_allowed,
            failed,
            sync_done,
            sync_granted,
            sync_lost,
            sync_grace,
            sync_waits,
            sync_undecided,
            check_title,
            check_registered,
            check_intent,
            check_intent_off,
            check_roles,
            check_no_rules,
            check_broken,
            check_log,
            check_log_none,
            check_log_silent,
            check_dms,
            check_dms_stopped,
            check_sweep,
            check_sweep_failed,
            check_sweep_none,
            check_held,
        );
    }

    #[test]
    fn unknown_languages_read_english() {
        assert_eq!(
            (locale(Some("de")), locale(Some("fr")), locale(None)),
            (Locale::De, Locale::En, Locale::En)
        );
    }
}
