//! Gateway: handshake, close codes, compression, intents, resuming, members in chunks, shards.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{GUILDS, MEMBERS, TOKEN, World, eventually, identify};

#[tokio::test]
async fn ready_names_guilds_that_follow_whole() {
    let world = World::start().await;
    let mut socket = world.connect().await;
    socket.identify(GUILDS).await;
    let ready = socket.next().await.unwrap();
    assert_eq!((&ready["op"], &ready["t"], &ready["s"]), (&json!(0), &json!("READY"), &json!(1)));
    assert_eq!(ready["d"]["guilds"], json!([{"id": world.guild, "unavailable": true}]));
    assert_eq!(ready["d"]["user"]["id"], world.fake.bot_id().to_string());
    assert_eq!(ready["d"]["resume_gateway_url"], world.fake.gateway_url());
    let guild = socket.next().await.unwrap();
    assert_eq!((&guild["t"], &guild["d"]["id"]), (&json!("GUILD_CREATE"), &json!(world.guild)));
    // Bot, owner and Ada; but only the bot's own membership is told.
    assert_eq!(guild["d"]["member_count"], 3);
    assert_eq!(guild["d"]["members"].as_array().unwrap().len(), 1);
    assert_eq!(guild["d"]["members"][0]["user"]["id"], world.fake.bot_id().to_string());
    assert_eq!(socket.binary, 0);
}

#[tokio::test]
async fn compress_makes_ready_and_guild_create_binary_and_nothing_else() {
    let world = World::start().await;
    let mut socket = world.connect().await;
    let mut payload = identify(GUILDS | MEMBERS);
    payload["d"]["compress"] = json!(true);
    socket.say(payload).await;
    socket.until("GUILD_CREATE").await;
    assert_eq!(socket.binary, 2);
    world.set_roles(&world.ada, &[&world.pro]).await;
    socket.until("GUILD_MEMBER_UPDATE").await;
    assert_eq!(socket.binary, 2);
}

#[tokio::test]
async fn every_mistake_has_its_close_code() {
    let world = World::start().await;
    world.put_settings(json!({"deniedIntents": 1 << 8})).await;
    let with = |change: Value| {
        let mut payload = identify(GUILDS);
        for (name, value) in change.as_object().unwrap() {
            payload["d"][name] = value.clone();
        }
        payload.to_string()
    };
    let mut long = identify(GUILDS);
    long["d"]["presence"] = json!("x".repeat(4_096));
    for (what, texts, code) in [
        ("no JSON", vec!["{".to_owned()], 4002),
        ("no opcode", vec!["{}".to_owned()], 4002),
        ("a long payload", vec![long.to_string()], 4002),
        ("an unknown opcode", vec![r#"{"op":99,"d":null}"#.to_owned()], 4001),
        ("presence before IDENTIFY", vec![r#"{"op":3,"d":{}}"#.to_owned()], 4003),
        ("members before IDENTIFY", vec![r#"{"op":8,"d":{}}"#.to_owned()], 4003),
        ("a wrong token", vec![with(json!({"token": "wrong"}))], 4004),
        ("IDENTIFY twice", vec![with(json!({})), with(json!({}))], 4005),
        ("a shard beyond the count", vec![with(json!({"shard": [2, 2]}))], 4010),
        ("a shard of one number", vec![with(json!({"shard": [0]}))], 4010),
        ("an intent that is none", vec![with(json!({"intents": 1 << 30}))], 4013),
        ("an intent that is denied", vec![with(json!({"intents": 1 << 8}))], 4014),
        (
            "RESUME with a wrong token",
            vec![r#"{"op":6,"d":{"token":"x","session_id":"y","seq":1}}"#.to_owned()],
            4004,
        ),
        ("121 sends", vec![r#"{"op":1,"d":null}"#.to_owned(); 121], 4008),
    ] {
        let mut socket = world.connect().await;
        for text in texts {
            socket.say_text(text).await;
        }
        assert_eq!(socket.closed().await, code, "{what}");
    }
    let url = format!("{}/?v=9&encoding=json", world.fake.gateway_url());
    let (mut ws, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let first = futures::StreamExt::next(&mut ws).await.unwrap().unwrap();
    let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = first else { panic!("{first:?}") };
    assert_eq!(u16::from(frame.code), 4012);
}

#[tokio::test]
async fn heartbeats_are_acknowledged_and_asked_for_and_their_absence_ends_the_socket() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS).await;
    socket.say(json!({"op": 1, "d": 2})).await;
    socket.until_op(11).await;
    world.must(Method::POST, "/gateway", json!({"action": "heartbeat"})).await;
    socket.until_op(1).await;
    let gateway = world.must(Method::GET, "/gateway", Value::Null).await;
    assert_eq!(gateway["heartbeats"], 1);
    world.put_settings(json!({"heartbeatIntervalMs": 100, "ackHeartbeats": false})).await;
    let mut unheard = world.connect().await;
    unheard.say(json!({"op": 1, "d": null})).await;
    assert_eq!(unheard.closed().await, 4009);
}

#[tokio::test]
async fn the_identify_budget_runs_down_and_then_refuses() {
    let world = World::start().await;
    world.put_settings(json!({"identifyRemaining": 1})).await;
    let (_first, _) = world.online(GUILDS).await;
    let (_, limit) = world.get("/gateway/bot").await;
    assert_eq!(limit["session_start_limit"]["remaining"], 0);
    assert_eq!(limit["session_start_limit"]["max_concurrency"], 1);
    let mut second = world.connect().await;
    second.identify(GUILDS).await;
    assert_eq!(second.until_op(9).await["d"], false);
    let gateway = world.must(Method::GET, "/gateway", Value::Null).await;
    assert_eq!((&gateway["identifies"], &gateway["refusedIdentifies"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn resume_brings_what_was_missed_in_order_and_goes_on() {
    let world = World::start().await;
    let (socket, ready) = world.online(GUILDS | MEMBERS).await;
    let seq = socket.seq;
    world.must(Method::POST, "/gateway", json!({"action": "cut"})).await;
    let rounds: [&[&str]; 3] = [&[&world.pro], &[], &[&world.pro]];
    for roles in rounds {
        world.set_roles(&world.ada, roles).await;
    }
    let mut again = world.connect().await;
    again.say(json!({"op": 6, "d": {"token": TOKEN, "session_id": ready["session_id"], "seq": seq}})).await;
    for (i, roles) in rounds.iter().enumerate() {
        let frame = again.next().await.unwrap();
        assert_eq!(frame["t"], "GUILD_MEMBER_UPDATE");
        assert_eq!(frame["s"], seq + 1 + i as u64);
        assert_eq!(frame["d"]["roles"], json!(roles));
    }
    assert_eq!(again.next().await.unwrap()["t"], "RESUMED");
    world.set_roles(&world.ada, &[]).await;
    assert_eq!(again.until("GUILD_MEMBER_UPDATE").await["s"], seq + 5);
}

#[tokio::test]
async fn resume_is_refused_when_it_cannot_be_whole() {
    let world = World::start().await;
    // (what happens to the session, the seq that is claimed, what comes)
    for (what, ahead) in
        [("unknown", 0), ("refused", 0), ("forgotten", 0), ("invalidated", 0), ("closed", 0), ("ahead", 10)]
    {
        world.put_settings(json!({"refuseResume": what == "refused", "replayMax": if what == "forgotten" { 1 } else { 10_000 }})).await;
        let (socket, ready) = world.online(GUILDS | MEMBERS).await;
        let (seq, mut id) = (socket.seq, ready["session_id"].clone());
        match what {
            "unknown" => id = json!("nobody"),
            "invalidated" => {
                world.must(Method::POST, "/gateway", json!({"action": "invalidate"})).await;
            }
            "closed" => {
                socket.close(1000).await;
                let gone = async || {
                    let shown = world.must(Method::GET, "/gateway", Value::Null).await;
                    !shown["sessions"].as_array().unwrap().iter().any(|session| session["id"] == id)
                };
                eventually("the session ends with 1000", gone).await;
            }
            _ => {
                world.must(Method::POST, "/gateway", json!({"action": "cut"})).await;
            }
        }
        world.set_roles(&world.ada, &[&world.pro]).await;
        world.set_roles(&world.ada, &[]).await;
        let mut again = world.connect().await;
        again.say(json!({"op": 6, "d": {"token": TOKEN, "session_id": id, "seq": seq + ahead}})).await;
        if what == "ahead" {
            assert_eq!(again.closed().await, 4007, "{what}");
        } else {
            assert_eq!(again.until_op(9).await["d"], false, "{what}");
            // The same socket may begin anew.
            again.identify(GUILDS).await;
            again.until("READY").await;
        }
    }
}

#[tokio::test]
async fn the_control_api_disturbs_sessions() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    world.must(Method::POST, "/gateway", json!({"action": "reconnect"})).await;
    assert_eq!(socket.until_op(7).await["d"], Value::Null);
    world.must(Method::POST, "/gateway", json!({"action": "invalidateResumable"})).await;
    assert_eq!(socket.until_op(9).await["d"], true);
    world.must(Method::POST, "/frames", json!({"guildId": world.guild, "raw": "{torn"})).await;
    assert_eq!(socket.next().await.unwrap(), json!("{torn"));
    world.must(Method::POST, "/frames", json!({"dispatch": {"t": "SOMETHING_NEW", "d": {"a": 1}}})).await;
    assert_eq!(socket.until("SOMETHING_NEW").await["d"], json!({"a": 1}));
    world.must(Method::POST, "/gateway", json!({"action": "silence"})).await;
    world.set_roles(&world.ada, &[&world.pro]).await;
    socket.say(json!({"op": 1, "d": null})).await;
    let silent = tokio::time::timeout(std::time::Duration::from_millis(300), socket.next()).await;
    assert!(silent.is_err(), "a silenced socket said {silent:?}");
    let (status, answer) = world.control(Method::POST, "/gateway", json!({"action": "explode"})).await;
    assert_eq!(status, 400, "{answer}");
}

#[tokio::test]
async fn a_socket_whose_session_was_ended_may_identify_again() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    world.must(Method::POST, "/gateway", json!({"action": "invalidate"})).await;
    assert_eq!(socket.until_op(9).await["d"], false);
    socket.identify(GUILDS | MEMBERS).await;
    socket.until("READY").await;
    world.must(Method::POST, "/gateway", json!({"action": "invalidate"})).await;
    socket.until_op(9).await;
    let members = json!({"guild_id": world.guild, "query": "", "limit": 0});
    socket.say(json!({"op": 8, "d": members})).await;
    assert_eq!(socket.closed().await, 4_003, "and nothing else without a session");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_can_resume() {
    let world = World::start().await;
    let (mut socket, ready) = world.online(GUILDS | MEMBERS).await;
    let many = json!({"count": 100_000, "quiet": false});
    world.must(Method::POST, &format!("/guilds/{}/crowd", world.guild), many).await;
    assert!(
        !world.control(Method::GET, "/gateway", Value::Null).await.1["sessions"][0]["connected"]
            .as_bool()
            .unwrap()
    );
    let begin = std::time::Instant::now();
    while socket.next().await.is_ok() {}
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "it ended at once, not by its heartbeats");
    drop(ready);
}

#[tokio::test]
async fn events_go_to_whom_the_intents_allow() {
    let world = World::start().await;
    let (mut plain, _) = world.online(GUILDS).await;
    let (mut members, _) = world.online(GUILDS | MEMBERS).await;
    let (mut direct, _) = world.online(GUILDS | 1 << 12).await;
    let guild = &world.guild;
    world.set_roles(&world.ada, &[&world.pro]).await;
    world.must(Method::DELETE, &format!("/guilds/{guild}/roles/{}", world.pro), Value::Null).await;
    let channel = world.dm(&world.ada).await;
    world.api(Method::POST, &format!("/channels/{channel}/messages"), json!({"content": "x"})).await;
    world.must(Method::DELETE, &format!("/guilds/{guild}/members/{}", world.ada), Value::Null).await;
    assert_eq!(plain.events().await, ["GUILD_ROLE_DELETE"]);
    assert_eq!(
        members.events().await,
        ["GUILD_MEMBER_UPDATE", "GUILD_ROLE_DELETE", "GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE"]
    );
    assert_eq!(direct.events().await, ["GUILD_ROLE_DELETE", "MESSAGE_CREATE"]);
}

#[tokio::test]
async fn outage_and_kick_differ_and_silence_the_guild() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    let guild = world.guild.clone();
    world.must(Method::POST, &format!("/guilds/{guild}/outage"), json!({"on": true})).await;
    assert_eq!(socket.until("GUILD_DELETE").await["d"], json!({"id": guild, "unavailable": true}));
    world.set_roles(&world.ada, &[&world.pro]).await;
    assert_eq!(world.get(&format!("/guilds/{guild}/roles")).await.0, 503);
    let mut late = world.connect().await;
    late.identify(GUILDS).await;
    assert_eq!(late.until("READY").await["d"]["guilds"][0]["id"], guild);
    assert_eq!(late.events().await, [""; 0]);
    world.must(Method::POST, &format!("/guilds/{guild}/outage"), json!({"on": false})).await;
    assert_eq!(socket.events().await, ["GUILD_CREATE"]);
    assert_eq!(late.events().await, ["GUILD_CREATE"]);
    world.must(Method::DELETE, &format!("/guilds/{guild}"), Value::Null).await;
    assert_eq!(socket.until("GUILD_DELETE").await["d"], json!({"id": guild}));
    world.set_roles(&world.ada, &[]).await;
    assert_eq!(socket.events().await, [""; 0]);
    assert_eq!(world.get(&format!("/guilds/{guild}")).await.1["code"], 10_004);
    assert_eq!(world.get(&format!("/guilds/{guild}/members?limit=10")).await.1["code"], 50_001);
    world.make("/guilds", json!({"id": guild})).await;
    assert_eq!(socket.until("GUILD_CREATE").await["d"]["member_count"], 3);
}

#[tokio::test]
async fn members_come_in_chunks_of_a_thousand() {
    let world = World::start().await;
    let guild = world.guild.clone();
    let crowd = json!({"count": 1_998, "quiet": true, "prefix": "crowd"});
    let crowd = world.must(Method::POST, &format!("/guilds/{guild}/crowd"), crowd).await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    let ask = |d: Value| json!({"op": 8, "d": d});
    socket.say(ask(json!({"guild_id": guild, "query": "", "limit": 0, "nonce": "n1"}))).await;
    // 1,998 of the crowd, the bot, the owner and Ada.
    for (i, size) in [1_000, 1_000, 1].into_iter().enumerate() {
        let chunk = socket.until("GUILD_MEMBERS_CHUNK").await["d"].clone();
        assert_eq!(chunk["members"].as_array().unwrap().len(), size);
        assert_eq!((&chunk["chunk_index"], &chunk["chunk_count"]), (&json!(i), &json!(3)));
        assert_eq!(chunk["nonce"], "n1");
    }
    socket.say(ask(json!({"guild_id": guild, "query": "CROWD199", "limit": 5}))).await;
    let chunk = socket.until("GUILD_MEMBERS_CHUNK").await["d"].clone();
    assert_eq!(chunk["members"].as_array().unwrap().len(), 5);
    socket.say(ask(json!({"guild_id": guild, "user_ids": [crowd["lastId"], "1"], "limit": 0}))).await;
    let chunk = socket.until("GUILD_MEMBERS_CHUNK").await["d"].clone();
    assert_eq!(chunk["members"][0]["user"]["id"], crowd["lastId"]);
    assert_eq!(chunk["not_found"], json!(["1"]));
    let (mut plain, _) = world.online(GUILDS).await;
    plain.say(ask(json!({"guild_id": guild, "query": "", "limit": 0}))).await;
    assert_eq!(plain.closed().await, 4014);
}

#[tokio::test]
async fn each_guild_belongs_to_one_shard_and_the_rest_to_shard_0() {
    let world = World::start().await;
    let ids = [6_u64 << 22, 7_u64 << 22].map(|id| id.to_string());
    for id in &ids {
        world.make("/guilds", json!({"id": id, "name": "g"})).await;
    }
    let own = world.guild.parse::<u64>().unwrap() >> 22 & 1;
    for shard in [0, 1] {
        let mut socket = world.connect().await;
        let mut payload = identify(GUILDS | 1 << 12);
        payload["d"]["shard"] = json!([shard, 2]);
        socket.say(payload).await;
        let ready = socket.until("READY").await;
        let mut expected = vec![ids[usize::try_from(shard).unwrap()].clone()];
        if own == shard {
            expected.push(world.guild.clone());
        }
        let guilds = ready["d"]["guilds"].as_array().unwrap().iter();
        let seen: Vec<&str> = guilds.map(|guild| guild["id"].as_str().unwrap()).collect();
        assert_eq!(seen, expected);
        socket.events().await;
        let channel = world.dm(&world.ada).await;
        world.api(Method::POST, &format!("/channels/{channel}/messages"), json!({"content": "x"})).await;
        let direct = socket.events().await.iter().filter(|name| *name == "MESSAGE_CREATE").count();
        assert_eq!(direct, usize::from(shard == 0));
    }
}
