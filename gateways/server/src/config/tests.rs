//! What the configuration accepts, from where, and how it refuses the rest.

use std::collections::BTreeMap;

use super::layers::variable;
use super::*;

fn inputs(env: &[(&str, &str)], flags: &[(&'static str, &str, &'static str)]) -> Inputs {
    let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let flags = flags.iter().map(|(key, text, flag)| (*key, (*text).to_owned(), *flag)).collect();
    Inputs { file: None, env, flags }
}

fn problems(inputs: &Inputs) -> Vec<String> {
    let layers = Layers::collect(inputs).unwrap();
    Config::read(&layers)
        .map(|_| Vec::new())
        .unwrap_or_else(|found| found.iter().map(Problem::to_string).collect())
}

#[test]
fn the_defaults_are_possible_and_every_key_is_read() {
    let layers = Layers::collect(&inputs(&[], &[])).unwrap();
    let config = Config::read(&layers).map_err(|found| refusal(&found)).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8420");
    // A key that nobody reads cannot be wrong: give each a value of another kind and see it refused.
    for (key, value) in layers.keys() {
        if matches!(value, figment::value::Value::String(..) | figment::value::Value::Array(..)) {
            continue;
        }
        let found = problems(&inputs(&[(&variable(key), "no")], &[]));
        assert!(!found.is_empty(), "{key} = no is accepted");
    }
}

#[test]
fn variables_of_different_keys_differ() {
    let layers = Layers::collect(&inputs(&[], &[])).unwrap();
    let names: BTreeMap<String, &str> = layers.keys().map(|(key, _)| (variable(key), key)).collect();
    assert_eq!(names.len(), layers.keys().count());
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_defaults() {
    let both = inputs(&[("DCA_LISTEN", "127.0.0.1:1")], &[("listen", "127.0.0.1:2", "--listen")]);
    let layers = Layers::collect(&both).unwrap();
    assert_eq!(Config::read(&layers).unwrap().listen.port(), 2);
    assert_eq!(layers.source("listen"), "the flag --listen");
    assert_eq!(layers.source("log.format"), "the defaults");
    let layers = Layers::collect(&inputs(&[("DCA_LISTEN", "127.0.0.1:1")], &[])).unwrap();
    assert_eq!(layers.source("listen"), "the environment variable DCA_LISTEN");
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_one_and_its_source() {
    let found = problems(&inputs(&[("DCA_LISTN", "x")], &[]));
    assert_eq!(
        found,
        [
            "`DCA_LISTN` is no configuration key; did you mean `DCA_LISTEN`? (from the environment variable DCA_LISTN)"
        ]
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems(&inputs(
        &[
            ("DCA_HTTP_GENERATE_MAX", "0"),
            ("DCA_LOG_FORMAT", "xml"),
            ("REDIS_URL", "http://x"),
            ("DCA_DATABASE_ALLOW_PLAIN", "1"),
        ],
        &[],
    ));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().any(|line| line.contains("`redis.url` must begin with redis://")));
    assert!(found.iter().any(|line| line.contains("must be a whole number from 1 to 100000, not 0")));
    assert!(found.iter().any(|line| line.contains("one of `auto`, `human`, `json`, not `xml`")));
}

#[test]
fn limits_are_rates_or_off_and_those_of_the_manual_are_those_of_the_api() {
    let read = |given: &[(&str, &str)]| Config::read(&Layers::collect(&inputs(given, &[])).unwrap());
    assert_eq!(read(&[]).unwrap().http.rates, api::Rates::default());
    let given = [("DCA_LIMITS_READ", "off"), ("DCA_LIMITS_WRITE", "5/1m")];
    let rates = read(&given).unwrap().http.rates;
    assert_eq!((rates.read, rates.write), (None, api::Rate::new(5, 60)));
    for wrong in ["", "5", "none", "0/1s"] {
        let found = problems(&inputs(&[("DCA_LIMITS_READ", wrong)], &[]));
        assert!(found[0].contains("`limits.read` must be `off` or a rate"), "{wrong}: {found:?}");
    }
}

#[test]
fn a_file_is_read_and_its_unknown_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dca.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:5\"\n[http]\ngenerate_maxx = 5\n").unwrap();
    let given = Inputs { file: Some(path.clone()), ..Inputs::default() };
    let layers = Layers::collect(&given).unwrap();
    assert_eq!(layers.source("listen"), format!("the file {}", path.display()));
    let found = problems(&given);
    assert!(found[0].contains("did you mean `http.generate_max`?"), "{found:?}");
}

#[test]
fn secrets_come_from_files_too_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    std::fs::write(&path, "postgres://me:hush@localhost/dca\n").unwrap();
    let layers = Layers::collect(&inputs(&[("DATABASE_URL_FILE", path.to_str().unwrap())], &[])).unwrap();
    let config = Config::read(&layers).unwrap();
    assert_eq!(config.database.url.as_deref(), Some("postgres://me:hush@localhost/dca"));
    let direct =
        Layers::collect(&inputs(&[("DATABASE_URL", "postgres://me:hush@localhost/dca")], &[])).unwrap();
    for text in [
        print_text(&direct),
        print_json(&direct).to_string(),
        format!("{:?}", Config::read(&direct).unwrap()),
    ] {
        assert!(!text.contains("hush"), "{text}");
    }
    let wrong = problems(&inputs(&[("DATABASE_URL", "mysql://me:hush@localhost/dca")], &[]));
    assert!(wrong[0].contains("must begin with postgres://") && !wrong[0].contains("hush"), "{wrong:?}");
}

#[test]
fn a_certificate_needs_its_key_and_an_address_with_tls() {
    let read = |given: &[(&str, &str)]| Config::read(&Layers::collect(&inputs(given, &[])).unwrap());
    assert_eq!(read(&[]).unwrap().http.tls, None);
    let (cert, key) = (("DCA_HTTP_TLS_CERT", "a.pem"), ("DCA_HTTP_TLS_KEY", "b.pem"));
    let tls = read(&[cert, key]).unwrap().http.tls.unwrap();
    assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("a.pem"), Some("b.pem")));
    for (given, says) in [
        (&[cert][..], "`http.tls_key` must name the file of the key"),
        (&[key], "`http.tls_cert` must name the file of the certificate"),
        (
            &[cert, key, ("DCA_HTTP_PUBLIC_URL", "http://localhost")],
            "`http.public_url` must begin with https://",
        ),
    ] {
        let found = problems(&inputs(given, &[]));
        assert!(found.len() == 1 && found[0].starts_with(says), "{found:?}");
    }
}

#[test]
fn roles_are_words_and_none_is_all() {
    let read = |given: &[(&str, &str)]| Config::read(&Layers::collect(&inputs(given, &[])).unwrap());
    assert!(read(&[]).unwrap().roles.is_whole());
    let some = read(&[("DCA_ROLE", "worker, api")]).unwrap().roles;
    assert_eq!(some.names(), ["api", "worker"]);
    let wrong = problems(&inputs(&[("DCA_ROLE", "api,boss")], &[]));
    assert!(wrong[0].contains("`api`, `bot`, `projector` and `worker`"), "{wrong:?}");
}

#[test]
fn nats_on_another_machine_needs_tls_or_a_statement() {
    for url in [
        "nats://x:hush@nats.example",
        "nats://127.0.0.1:4222,nats://10.0.0.5:4222",
        "http://x:hush@y",
        "tls://",
    ] {
        let found = problems(&inputs(&[("NATS_URL", url)], &[]));
        assert!(
            found.len() == 1 && found[0].contains("nats") && !found[0].contains("hush"),
            "{url}: {found:?}"
        );
    }
    let stated = [("NATS_URL", "nats://nats.example"), ("DCA_NATS_ALLOW_PLAIN", "true")];
    assert_eq!(problems(&inputs(&stated, &[])), Vec::<String>::new());
    for url in ["nats://127.0.0.1:4222", "tls://nats.example:4222", "nats://u:p@localhost, nats://[::1]:4223"]
    {
        assert_eq!(problems(&inputs(&[("NATS_URL", url)], &[])), Vec::<String>::new(), "{url}");
    }
}

#[test]
fn redis_on_another_machine_needs_tls_or_a_statement() {
    for url in [
        "redis://x:hush@redis.example",
        "redis-cluster://127.0.0.1:7000?node=10.0.0.5:7001&password=hush",
        "redis-sentinel://10.0.0.5:26379?sentinelServiceName=hush",
        "http://x:hush@y",
        "rediss://",
    ] {
        let found = problems(&inputs(&[("REDIS_URL", url)], &[]));
        assert!(
            found.len() == 1 && found[0].contains("redis") && !found[0].contains("hush"),
            "{url}: {found:?}"
        );
    }
    let stated = [("REDIS_URL", "redis://redis.example"), ("DCA_REDIS_ALLOW_PLAIN", "true")];
    assert_eq!(problems(&inputs(&stated, &[])), Vec::<String>::new());
    for url in [
        "redis://127.0.0.1:6379/1",
        "rediss://redis.example:6380",
        "redis-cluster://127.0.0.1:7000?node=127.0.0.1:7001&node=localhost:7002",
        "rediss-sentinel://10.0.0.5:26379?sentinelServiceName=main",
    ] {
        assert_eq!(problems(&inputs(&[("REDIS_URL", url)], &[])), Vec::<String>::new(), "{url}");
    }
}

#[test]
fn a_database_on_another_machine_needs_tls_or_a_statement() {
    for url in
        ["postgres://u:p@db.example/d", "postgres://u:p@10.0.0.5:5432/d", "postgres://u@db/d?sslmode=prefer"]
    {
        assert_eq!(problems(&inputs(&[("DATABASE_URL", url)], &[])).len(), 1, "{url}");
        assert!(
            problems(&inputs(&[("DATABASE_URL", url), ("DCA_DATABASE_ALLOW_PLAIN", "true")], &[])).is_empty()
        );
    }
    for url in [
        "postgres://u:p@db.example/d?sslmode=verify-full",
        "postgres://u:p@localhost/d",
        "postgres://u:p@127.0.0.1:5432/d",
        "postgres://u:p@[::1]:5432/d",
        "postgres:///d?host=/run/postgresql",
    ] {
        assert_eq!(problems(&inputs(&[("DATABASE_URL", url)], &[])), Vec::<String>::new(), "{url}");
    }
}

/// What containers are given is configuration too: each process of compose.yaml starts with it.
#[test]
fn the_compose_file_names_settings_that_there_are() {
    let text = include_str!("../../../../compose.yaml");
    let mut given = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once(": ") else { continue };
        if name.starts_with("DCA_") || name.ends_with("_URL") || name == "DISCORD_TOKEN" {
            let value = value.trim_matches('"');
            let asked = value.split_once("${POSTGRES_PASSWORD").map(|(before, after)| {
                format!("{before}secret{}", after.split_once('}').map_or("", |(_, rest)| rest))
            });
            let value = asked.unwrap_or_else(|| value.replace("${DISCORD_TOKEN:-}", ""));
            given.entry(name.to_owned()).or_insert_with(Vec::new).push(value);
        }
    }
    assert!(given.len() > 12 && given["DCA_ROLE"].len() == 4, "{given:?}");
    for turn in 0..4 {
        let env = given.iter().map(|(name, values)| (name.clone(), values[turn % values.len()].clone()));
        let found = problems(&Inputs { file: None, env: env.collect(), flags: Vec::new() });
        assert_eq!(found, Vec::<String>::new());
    }
}
