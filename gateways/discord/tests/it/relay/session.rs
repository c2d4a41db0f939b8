//! Sessions: resumed after every kind of loss, across processes too, and begun anew only when they must be.

use std::sync::Arc;
use std::time::Duration;

use discord::relay::{Relay, Saved};
use serde_json::json;

use super::scripted::{Client, Ear, Gateway, Heard, Running, identify, resume, within};

const SHARD: (u32, u32) = (0, 1);

fn saved(gateway: &Gateway, session_id: &str, sequence: i64) -> Saved {
    let ready = gateway.ready(session_id);
    Saved { session_id: session_id.into(), sequence, resume_url: format!("{}/again", gateway.url), ready }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_serenitys_own_identify() {
    let run = Running::start().await;
    assert_eq!(run.conn.path, "/?v=10&encoding=json");
    let ready = run.gateway.ready("s1");
    let heard = run.ear.heard();
    assert_eq!(heard[0], Heard::Asked);
    assert_eq!(heard[1], Heard::Began(saved(&run.gateway, "s1", 1)));
    assert!(matches!(&heard[2], Heard::Dispatch(event) if event.data == ready && event.sequence == 1));
    assert_eq!(run.relay.sequence(SHARD), Some(1));
    assert_eq!(run.relay.sequence((1, 2)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_resumed_with_replay_and_serenity_notices_nothing() {
    let mut run = Running::start().await;
    run.conn.dispatch(2, "A", json!({})).await;
    assert_eq!(run.client.recv().await["s"], 2);
    drop(run.conn);
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.path, "/again?v=10&encoding=json");
    assert_eq!(conn.recv().await, resume("s1", 2));
    conn.dispatch(3, "B", json!({})).await;
    conn.dispatch(4, "RESUMED", json!({})).await;
    conn.dispatch(5, "C", json!({})).await;
    for kind in ["B", "RESUMED", "C"] {
        assert_eq!(run.client.recv().await["t"], kind);
    }
    let names = ["READY", "A", "B", "RESUMED", "C"];
    let expected: Vec<_> = names.iter().zip(1..).map(|(kind, at)| ((*kind).to_owned(), at)).collect();
    assert_eq!(run.ear.events(), expected);
    assert_eq!((run.ear.count(&Heard::Asked), run.ear.count(&Heard::Resumed)), (1, 1));
    let heard = run.ear.heard();
    let at = |what: &Heard| heard.iter().position(|heard| heard == what).unwrap();
    let event = |kind: &str| {
        let is = |heard: &Heard| matches!(heard, Heard::Dispatch(event) if event.kind == kind);
        heard.iter().position(is).unwrap()
    };
    assert!(event("A") < at(&Heard::Resuming) && at(&Heard::Resuming) < event("B"), "{heard:?}");
    assert!(event("B") < at(&Heard::Resumed) && at(&Heard::Resumed) < event("C"), "{heard:?}");
    assert_eq!(run.ear.count(&Heard::Closed(None)), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn op_7_and_resumable_codes_lead_to_a_resume() {
    let mut run = Running::start().await;
    run.conn.send(json!({"op": 7, "d": null})).await;
    assert_eq!(run.conn.ended().await, Some(4000));
    for code in [4000, 4008, 1001] {
        let mut conn = run.gateway.accept().await;
        assert_eq!(conn.recv().await, resume("s1", 1));
        conn.close(code).await;
        run.ear.wait(|heard| heard.contains(&Heard::Closed(Some(code)))).await;
    }
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.recv().await, resume("s1", 1));
    assert_eq!(run.ear.count(&Heard::Ended), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_end_a_session_lead_to_an_identify() {
    let mut run = Running::start().await;
    for (code, sequence) in [(4007, 1), (4009, 1), (1000, 1)] {
        run.conn.close(code).await;
        run.conn = run.gateway.accept().await;
        assert_eq!(run.conn.recv().await, identify());
        run.conn.dispatch(sequence, "READY", run.gateway.ready(&format!("after {code}"))).await;
        assert_eq!(run.client.recv().await["d"]["session_id"], format!("after {code}"));
    }
    assert_eq!((run.ear.count(&Heard::Ended), run.ear.count(&Heard::Asked)), (3, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_resume_identifies_after_the_pause_and_with_permission() {
    let run = Running::start().await;
    drop(run.conn);
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 6);
    conn.send(json!({"op": 9, "d": false})).await;
    assert_eq!(conn.ended().await, Some(4000));
    let mut conn = run.gateway.accept().await;
    assert_eq!((conn.path.clone().as_str(), conn.recv().await), ("/?v=10&encoding=json", identify()));
    conn.dispatch(1, "READY", run.gateway.ready("s2")).await;
    let mut client = run.client;
    assert_eq!(client.recv().await["d"]["session_id"], "s2");
    let heard = run.ear.heard();
    let at = |what: &Heard| heard.iter().rposition(|heard| heard == what).unwrap();
    assert!(at(&Heard::Ended) < at(&Heard::Asked));
}

#[tokio::test(flavor = "multi_thread")]
async fn op_9_with_hope_resumes_again_but_not_for_ever() {
    let run = Running::start().await;
    drop(run.conn);
    for _ in 0..4 {
        let mut conn = run.gateway.accept().await;
        assert_eq!(conn.recv().await, resume("s1", 1));
        conn.send(json!({"op": 9, "d": true})).await;
        conn.ended().await;
    }
    assert_eq!(run.gateway.accept().await.recv().await, identify());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_nothing_is_identified_and_serenity_must_come_again() {
    let gateway = Gateway::start().await;
    let ear = Arc::new(Ear::default());
    ear.refusals.lock().unwrap().push_back("the budget is used up".into());
    let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    let conn = gateway.accept().await;
    // 4009 makes serenity forget its session and wait before it identifies.
    assert_eq!(client.closed().await, Some(4009));
    assert_eq!(conn.ended().await, Some(4000));
    assert!(!gateway.knocked());
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    assert_eq!(gateway.accept().await.recv().await, identify());
    assert_eq!(ear.count(&Heard::Asked), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_resumes_what_the_tap_kept() {
    let gateway = Gateway::start().await;
    let ear = Arc::new(Ear::default());
    *ear.kept.lock().unwrap() = Some(saved(&gateway, "old", 41));
    let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    let mut conn = gateway.accept().await;
    assert_eq!(
        (conn.path.clone().as_str(), conn.recv().await),
        ("/again?v=10&encoding=json", resume("old", 41))
    );
    conn.dispatch(42, "A", json!({})).await;
    // RESUMED as some servers send it: without a number, which serenity could not read.
    conn.send(json!({"op": 0, "s": null, "t": "RESUMED", "d": {}})).await;
    let ready = client.recv().await;
    assert_eq!(ready, json!({"op": 0, "t": "READY", "s": 41, "d": gateway.ready("old")}));
    assert_eq!((client.recv().await["t"].clone(), client.recv().await["s"].clone()), (json!("A"), json!(42)));
    assert_eq!(ear.events(), [("A".to_owned(), 42), ("RESUMED".to_owned(), 42)]);
    assert_eq!(ear.count(&Heard::Asked), 0);
    assert_eq!(relay.sequence(SHARD), Some(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_that_is_refused_is_not_tried_twice() {
    let gateway = Gateway::start().await;
    let ear = Arc::new(Ear::default());
    // The tap forgets later than the relay: it goes on offering the dead session.
    *ear.kept.lock().unwrap() = Some(saved(&gateway, "old", 41));
    ear.refusals.lock().unwrap().push_back("no lease".into());
    let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    let mut conn = gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 6);
    conn.send(json!({"op": 9, "d": false})).await;
    drop(gateway.accept().await);
    assert_eq!(client.closed().await, Some(4009));
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    let mut conn = gateway.accept().await;
    assert_eq!(conn.recv().await, identify());
    conn.dispatch(1, "READY", gateway.ready("new")).await;
    assert_eq!(client.recv().await["d"]["session_id"], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn unanswered_heartbeats_end_in_a_resume() {
    let gateway = Gateway::start().await;
    let config = gateway.config();
    let mut run = Running::with(gateway, config, 60).await;
    // Two heartbeats are due; the first is seen and not answered.
    let beat = run.conn.recv_any().await.unwrap();
    assert_eq!(beat, json!({"op": 1, "d": 1}));
    assert_eq!(run.conn.ended().await, Some(4000));
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.recv().await, resume("s1", 1));
    conn.dispatch(2, "RESUMED", json!({})).await;
    assert_eq!(run.client.recv().await["t"], "RESUMED");
    assert_eq!(run.ear.count(&Heard::Asked), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_heartbeats_keep_the_connection_and_tell_the_latency() {
    let gateway = Gateway::start().await;
    let config = gateway.config();
    let mut run = Running::with(gateway, config, 40).await;
    for _ in 0..5 {
        assert_eq!(run.conn.recv_any().await.unwrap()["op"], 1);
        run.conn.send(json!({"op": 11})).await;
    }
    // A heartbeat that Discord asks for comes at once, besides the due ones.
    run.conn.send(json!({"op": 1, "d": null})).await;
    assert_eq!(run.conn.recv_any().await.unwrap()["op"], 1);
    assert!(run.relay.latency(SHARD).is_some());
    run.client.send(json!({"op": 1, "d": 1})).await;
    assert_eq!(run.client.recv().await, json!({"op": 11}));
}

#[tokio::test(flavor = "multi_thread")]
async fn serenitys_fresh_start_continues_the_living_session() {
    let mut run = Running::start().await;
    run.conn.dispatch(2, "A", json!({})).await;
    assert_eq!(run.client.recv().await["t"], "A");
    // Serenity restarts its shard, and its old connection lingers.
    let mut client = Client::connect(&run.relay).await;
    client.send(identify()).await;
    assert_eq!(run.conn.ended().await, Some(4000));
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.recv().await, resume("s1", 2));
    conn.dispatch(3, "RESUMED", json!({})).await;
    assert_eq!(client.recv().await, json!({"op": 0, "t": "READY", "s": 2, "d": run.gateway.ready("s1")}));
    assert_eq!(client.recv().await["t"], "RESUMED");
    assert_eq!((run.ear.count(&Heard::Asked), run.ear.count(&Heard::Ended)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn serenitys_own_resume_gets_what_it_missed_and_the_tap_nothing_twice() {
    let mut run = Running::start().await;
    for sequence in 2..5 {
        run.conn.dispatch(sequence, "A", json!({})).await;
    }
    run.ear.wait(|heard| heard.len() == 6).await;
    drop(run.client);
    assert_eq!(run.conn.ended().await, Some(4000));
    let mut client = Client::connect(&run.relay).await;
    // It read two of the four.
    client.send(resume("s1", 2)).await;
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.recv().await, resume("s1", 2));
    for sequence in 3..6 {
        conn.dispatch(sequence, "A", json!({})).await;
    }
    conn.dispatch(6, "RESUMED", json!({})).await;
    for sequence in 3..7 {
        assert_eq!(client.recv().await["s"], sequence);
    }
    let numbers: Vec<_> = run.ear.events().into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn serenitys_resume_of_an_unknown_session_is_refused() {
    let gateway = Gateway::start().await;
    let relay = Relay::start(gateway.config(), Arc::new(Ear::default())).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(resume("nobody's", 7)).await;
    assert_eq!(client.recv().await, json!({"op": 9, "d": false}));
    assert_eq!(client.closed().await, Some(4009));
    assert!(!gateway.knocked());
}

#[tokio::test(flavor = "multi_thread")]
async fn fatal_codes_reach_serenity_as_it_understands_them() {
    for (sent, got) in [(4004, 4004), (4013, 4013), (4014, 4014), (4010, 4009), (4011, 4009), (4012, 4009)] {
        let gateway = Gateway::start().await;
        let ear = Arc::new(Ear::default());
        let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
        let mut client = Client::connect(&relay).await;
        client.send(identify()).await;
        let mut conn = gateway.accept().await;
        conn.recv().await;
        conn.close(sent).await;
        assert_eq!(client.closed().await, Some(got), "{sent}");
        assert_eq!((ear.count(&Heard::Closed(Some(sent))), ear.count(&Heard::Ended)), (1, 1));
        if got == 4009 {
            // Asking again the same way is useless, so Discord is not asked.
            let mut client = Client::connect(&relay).await;
            client.send(identify()).await;
            assert_eq!(client.closed().await, Some(4009));
            assert!(!gateway.knocked());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_serenitys_goodbye_nor_stopping_ends_the_session() {
    let run = Running::start().await;
    run.client.close(1000).await;
    assert_eq!(run.conn.ended().await, Some(4000));
    let mut client = Client::connect(&run.relay).await;
    client.send(identify()).await;
    let mut conn = run.gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 6);
    let ended = tokio::spawn(conn.ended());
    within(run.relay.stop()).await;
    assert_eq!(ended.await.unwrap(), Some(4000));
    assert_eq!(run.ear.count(&Heard::Ended), 0);
    assert_eq!(run.ear.heard().iter().filter(|heard| matches!(heard, Heard::Closed(_))).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_reached_is_tried_again() {
    let gateway = Gateway::start().await;
    let ear = Arc::new(Ear::default());
    let mut config = gateway.config();
    config.connect_timeout = Duration::from_secs(2);
    let relay = Relay::start(config, ear.clone()).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    // Turned away, and left standing without a HELLO; meanwhile serenity is looked after.
    for _ in 0..3 {
        gateway.turn_away().await;
    }
    let _mute = gateway.let_stand().await;
    client.send(json!({"op": 1, "d": null})).await;
    assert_eq!(client.recv().await, json!({"op": 11}));
    assert_eq!(gateway.accept().await.recv().await, identify());
    assert_eq!(ear.count(&Heard::Asked), 1);
}
