//! `POST /admin/licenses/import?layout=`: files of other systems as they export them. Of each: what becomes of its rows, which
//! columns are passed over, that wrong cells are named as the file names them, and that an old key opens its license.

use serde_json::{Value, json};

use crate::world::{ADA, GUILD, OTHER_GUILD, Reply, World};

async fn send(world: &World, query: &str, file: &str) -> Reply {
    let path = format!("/admin/licenses/import?guildId={GUILD}&{query}");
    world.post(&path).token("operator").header("content-type", "text/csv").raw(file.to_owned()).await
}

/// What a file of a layout comes to.
struct Case {
    /// With `layout` and what goes with it.
    query: &'static str,
    file: String,
    /// `created`, `skipped` and `ignoredColumns`.
    created: usize,
    skipped: usize,
    ignored: &'static [&'static str],
    /// Old keys with the verdict and the type that they lead to.
    opens: &'static [(&'static str, &'static str, &'static str)],
    /// The file with three rows spoilt, and how these are named.
    spoilt: String,
    named: [(&'static str, &'static str); 3],
}

fn named(reply: &Reply) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = reply.body["errors"].as_array().unwrap();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
}

async fn check(case: Case) {
    let world = World::new().await;
    let api_key = world.secret().await;
    let head = world.queries.current_head().await.unwrap();
    let refused = send(&world, case.query, &case.spoilt).await;
    assert_eq!(refused.problem(422), "IMPORT_REFUSED");
    let spoilt = case.named.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(named(&refused), spoilt);
    let tried = send(&world, &format!("{}&dryRun=true", case.query), &case.file).await.ok(200);
    let mut expected = json!({
        "created": case.created, "existing": 0, "skipped": case.skipped, "ignoredColumns": case.ignored, "dryRun": true,
    });
    assert_eq!(tried, expected);
    assert_eq!(world.queries.current_head().await.unwrap(), head, "nothing was written so far");
    expected.as_object_mut().unwrap().remove("dryRun");
    assert_eq!(send(&world, case.query, &case.file).await.ok(200), expected);
    for (key, code, kind) in case.opens {
        let asked = json!({ "key": key });
        let told = world.post("/licenses/validate").key(&api_key).json(&asked).await.ok(200);
        assert_eq!(told["code"], *code, "{key}: {told:#}");
        assert_eq!(told["license"]["type"], *kind, "{key}: {told:#}");
    }
    expected["created"] = json!(0);
    expected["existing"] = json!(case.created);
    assert_eq!(send(&world, case.query, &case.file).await.ok(200), expected, "the same file again");
}

/// Their first line and rows, without what only makes them long.
fn gumroad(rows: &[&str]) -> String {
    let head = "Purchase ID,Item Name,Buyer Name,Purchase Email,Purchase Date,Fully Refunded?,Disputed?,Dispute Won?,\
                Access Revoked?,Variants,Product ID,Order Number,Recurring Charge?,Subscription End Date,License Key,\
                License Key Enabled?,Discord";
    format!("{head}\r\n{}\r\nTotals,,,,,,,,,,,,,,,,\r\n", rows.join("\r\n"))
}

#[tokio::test]
async fn a_list_of_sales_of_gumroad() {
    check(Case {
        query: "layout=gumroad&types=Editor%20Pro:pro,xyzab:team&ownerColumn=Discord",
        file: gumroad(&[
            &format!("a1==,Editor Pro,Ada,ada@example.com,2024-03-01,0,0,0,0,,abcde,1,0,,AAAA-1,1,{ADA}"),
            "a2==,\"Editor, for teams\",Bob,bob@example.com,2024-03-02,0,0,0,0,,xyzab,2,0,2024-04-01,AAAA-2,1,",
            "a3==,Editor Pro,Cy,cy@example.com,2024-03-03,1,0,0,0,,abcde,3,0,,AAAA-3,0,",
            "a4==,Editor Pro,Di,di@example.com,2024-03-04,0,1,0,0,,abcde,4,0,,AAAA-4,1,",
            "a5==,Editor Pro,Ed,ed@example.com,2024-03-05,0,1,1,0,,abcde,5,0,,AAAA-5,1,",
            "a6==,Wallpaper,Fo,fo@example.com,2024-03-06,0,0,0,0,,wallp,6,0,,,,",
            "a7==,Editor Pro,Ada,ada@example.com,2024-04-01,0,0,0,0,,abcde,7,1,,AAAA-1,1,",
        ]),
        created: 5,
        skipped: 3,
        ignored: &["Buyer Name", "Purchase Email", "Purchase Date", "Recurring Charge?"],
        opens: &[
            ("AAAA-1", "DEVICE_REQUIRED", "pro"),
            ("AAAA-2", "EXPIRED", "team"),
            ("AAAA-3", "REVOKED", "pro"),
            ("AAAA-4", "SUSPENDED", "pro"),
            ("AAAA-5", "DEVICE_REQUIRED", "pro"),
        ],
        spoilt: gumroad(&[
            "a1==,Sketch,Ada,,,0,0,0,0,,other,1,0,,AAAA-1,1,",
            "a2==,Editor Pro,Bob,,,0,0,0,0,,abcde,2,0,soon,AAAA-2,1,",
            "a3==,Editor Pro,Cy,,,yes,0,0,0,,abcde,3,0,,AAAA-3,1,",
        ]),
        named: [
            ("/2/Item Name", "IMPOSSIBLE"),
            ("/3/Subscription End Date", "WRONG_FORM"),
            ("/4/Fully Refunded?", "WRONG_FORM"),
        ],
    })
    .await;
}

#[tokio::test]
async fn licenses_of_the_license_manager_for_woocommerce() {
    let head = "id,order_id,product_id,user_id,license_key,expires_at,valid_for,source,status,times_activated,times_activated_max";
    check(Case {
        query: "layout=license-manager-for-woocommerce&type=pro&types=21:team",
        file: format!(
            "{head}\n1,100,20,3,ABCD-1,2999-12-31 23:59:59,365,GENERATOR,SOLD,0,2\n\
             2,101,21,4,ABCD-2,,,IMPORT,DELIVERED,1,2\n3,,20,,ABCD-3,,,IMPORT,INACTIVE,0,2\n\
             4,102,20,5,ABCD-4,2020-01-01 00:00:00,30,API,active,2,2\n"
        ),
        created: 4,
        skipped: 0,
        ignored: &["id", "user_id", "valid_for", "source", "times_activated", "times_activated_max"],
        opens: &[
            ("ABCD-1", "DEVICE_REQUIRED", "pro"),
            ("ABCD-2", "VALID", "team"),
            ("ABCD-3", "SUSPENDED", "pro"),
            ("ABCD-4", "EXPIRED", "pro"),
        ],
        spoilt: format!(
            "{head}\n1,100,20,3,,,,GENERATOR,SOLD,0,2\n2,101,21,4,ABCD-2,31.12.2029,,IMPORT,SOLD,1,2\n\
             3,,20,,ABCD-3,,,IMPORT,LOST,0,2\n"
        ),
        named: [
            ("/2/license_key", "MISSING_MEMBER"),
            ("/3/expires_at", "WRONG_FORM"),
            ("/4/status", "WRONG_FORM"),
        ],
    })
    .await;
}

#[tokio::test]
async fn keys_of_the_wc_key_manager() {
    let head = "key,product_id,validity_for,expires_at,activation_limit";
    check(Case {
        query: "layout=wc-key-manager&types=7:pro,8:team",
        file: format!("\u{feff}{head}\r\nWCKM-1,7,0,,1\r\nWCKM-2,8,30,2020-05-01,3\r\n"),
        created: 2,
        skipped: 0,
        ignored: &["validity_for", "activation_limit"],
        opens: &[("WCKM-1", "DEVICE_REQUIRED", "pro"), ("WCKM-2", "EXPIRED", "team")],
        spoilt: format!("\u{feff}{head}\r\n\r\n\"WCKM\n1\",9,0,,1\r\nWCKM-2,8,30,never,3\r\n,7,0,,1"),
        named: [
            ("/3/product_id", "IMPOSSIBLE"),
            ("/5/expires_at", "WRONG_FORM"),
            ("/6/key", "MISSING_MEMBER"),
        ],
    })
    .await;
}

#[tokio::test]
async fn license_keys_of_lemon_squeezy() {
    let head =
        "store_id,order_id,product_id,user_name,user_email,key,activation_limit,disabled,status,expires_at";
    check(Case {
        query: "layout=lemon-squeezy&type=pro",
        file: format!(
            "{head}\n1,10,5,Ada,ada@example.com,38b1460a-1,5,0,active,2999-01-24T14:15:07.000000Z\n\
             1,11,5,Bob,bob@example.com,38b1460a-2,5,1,disabled,\n\
             1,12,5,Cy,cy@example.com,38b1460a-3,5,false,expired,2021-01-24T14:15:07.000000Z\n"
        ),
        created: 3,
        skipped: 0,
        ignored: &["store_id", "user_name", "user_email", "activation_limit"],
        opens: &[
            ("38b1460a-1", "DEVICE_REQUIRED", "pro"),
            ("38b1460a-2", "SUSPENDED", "pro"),
            ("38b1460a-3", "EXPIRED", "pro"),
        ],
        spoilt: format!(
            "{head}\n1,10,5,,,38b1460a-1,5,maybe,active,\n1,11,5,,,38b1460a-2,5,0,expired,\n1,12,5,,,38b1460a-3,5,0,gone,\n"
        ),
        named: [("/2/disabled", "WRONG_FORM"), ("/3/status", "IMPOSSIBLE"), ("/4/status", "WRONG_FORM")],
    })
    .await;
}

#[tokio::test]
async fn licenses_of_keygen() {
    let head = "id,name,key,expiry,status,suspended,policy,product,user";
    let id = "b18e3e3d-8a8a-4a1a-9d0c-3c5f0a7c1d21";
    check(Case {
        query: "layout=keygen&types=basic:team,floating:pro",
        file: format!(
            "{head}\n{id},,KG-1,2999-09-01T00:00:00.000Z,ACTIVE,false,basic,app,\n{id},,KG-2,,SUSPENDED,true,floating,app,u\n"
        ),
        created: 2,
        skipped: 0,
        ignored: &["name", "status", "user"],
        opens: &[("KG-1", "VALID", "team"), ("KG-2", "SUSPENDED", "pro")],
        spoilt: format!("{head}\n{id},,KG-1,,A,no,basic,,\n{id},,KG-2,x,A,false,basic,,\n{id},,KG-3,,A,false,trial,,\n"),
        named: [("/2/suspended", "WRONG_FORM"), ("/3/expiry", "WRONG_FORM"), ("/4/policy", "IMPOSSIBLE")],
    })
    .await;
}

#[tokio::test]
async fn license_keys_of_cryptolens() {
    let head = "ProductId,ID,Key,Created,Expires,Period,F1,Notes,Block,GlobalId,MaxNoOfMachines";
    check(Case {
        query: "layout=cryptolens&type=team",
        file: format!(
            "{head}\n3349,4,GEBNC-WZZJD-1,1490313600,32503680000,30,true,,False,35572,2\n\
             3349,5,GEBNC-WZZJD-2,1490313600,1492905600,30,true,,False,35573,2\n\
             3349,6,GEBNC-WZZJD-3,1490313600,,30,true,,True,35574,2\n"
        ),
        created: 3,
        skipped: 0,
        ignored: &["ID", "Created", "Period", "F1", "Notes", "MaxNoOfMachines"],
        opens: &[
            ("GEBNC-WZZJD-1", "VALID", "team"),
            ("GEBNC-WZZJD-2", "EXPIRED", "team"),
            ("GEBNC-WZZJD-3", "SUSPENDED", "team"),
        ],
        spoilt: format!("{head}\n3349,4,,1,1,30,,,False,1,2\n3349,5,K-2,1,later,30,,,False,1,2\n3349,6,K-3,1,1,30,,,?,1,2\n"),
        named: [("/2/Key", "MISSING_MEMBER"), ("/3/Expires", "WRONG_FORM"), ("/4/Block", "WRONG_FORM")],
    })
    .await;
}

#[tokio::test]
async fn licenses_of_keyauth() {
    let head = "key,level,expiry";
    check(Case {
        query: "layout=keyauth&types=1:team,2:pro",
        file: format!("{head}\nKEYAUTH-abcd-1,1,30\nKEYAUTH-abcd-2,2,365\n"),
        created: 2,
        skipped: 0,
        ignored: &["expiry"],
        opens: &[("KEYAUTH-abcd-1", "VALID", "team"), ("KEYAUTH-abcd-2", "DEVICE_REQUIRED", "pro")],
        spoilt: format!("{head}\nKEYAUTH-1,3,30\n,1,30\nKEYAUTH-3,,30\n"),
        named: [("/2/level", "IMPOSSIBLE"), ("/3/key", "MISSING_MEMBER"), ("/4/key", "MISSING_MEMBER")],
    })
    .await;
}

#[tokio::test]
async fn keys_one_a_line() {
    let long = "x".repeat(201);
    check(Case {
        query: "layout=lines&type=team",
        file: "\u{feff}LINE-1\r\n\r\n  LINE, \"2\" \r\nSchl\u{fc}ssel 3".to_owned(),
        created: 3,
        skipped: 0,
        ignored: &[],
        opens: &[
            ("LINE-1", "VALID", "team"),
            (" LINE, \"2\"", "VALID", "team"),
            ("Schlu\u{308}ssel 3", "VALID", "team"),
        ],
        spoilt: format!("LINE-1\n{long}\nLINE-1\n{long}\nLINE-2\n{long}\n"),
        named: [("/2/key", "WRONG_LENGTH"), ("/4/key", "WRONG_LENGTH"), ("/6/key", "WRONG_LENGTH")],
    })
    .await;
}

#[tokio::test]
async fn what_goes_with_a_layout_is_looked_at_first() {
    let world = World::new().await;
    let unknown = send(&world, "layout=limelm", "key\nA\n").await;
    assert_eq!((unknown.problem(422), unknown.pointer()), ("INVALID_VALUE", "?layout"));
    for known in ["gumroad", "keygen", "lemon-squeezy", "lines"] {
        assert!(unknown.body.to_string().contains(known), "{:#}", unknown.body);
    }
    for (query, status, pointer) in [
        ("type=pro", 422, "?type"),
        ("types=A:pro", 422, "?types"),
        ("ownerColumn=x", 422, "?ownerColumn"),
        ("layout=lines&type=nothing", 422, "?type"),
        ("layout=gumroad&types=A:nothing", 422, "?types"),
        ("layout=gumroad&types=pro", 422, "?types"),
        ("layout=gumroad&type=pro", 400, "/1/License Key"),
        ("layout=keyauth&type=pro&ownerColumn=Discord", 400, "/1/Discord"),
    ] {
        let reply = send(&world, query, "key,level\nA,1\n").await;
        reply.problem(status);
        assert_eq!(reply.pointer(), pointer, "{query}: {:#}", reply.body);
    }
    let untyped = send(&world, "layout=lines", "A\n").await;
    assert_eq!((untyped.problem(422), untyped.pointer()), ("IMPORT_REFUSED", "/1/key"));
    // What the rules find wrong is named as the file names it.
    let request = json!({ "guildId": OTHER_GUILD.to_string(), "type": "pro", "count": 1 });
    let (_, ours) = world.licenses(request).await.remove(0);
    let reply = send(&world, "layout=cryptolens&type=pro", &format!("Key\n{ours}\nB\nB\n")).await;
    assert_eq!(reply.problem(422), "IMPORT_REFUSED");
    let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    assert_eq!(named(&reply), [pair("/2/Key", "IMPOSSIBLE"), pair("/4/Key", "DUPLICATE_MEMBER")]);
}

#[tokio::test]
async fn numbers_of_a_purchase_are_private_and_a_repeat_tells_the_same() {
    let world = World::new().await;
    let secret = world.secret().await;
    let file = gumroad(&[&format!(
        "a1==,Editor,Ada,ada@example.com,2024-03-01,0,0,0,0,,abcde,17,0,,AAAA-1,1,{ADA}"
    )]);
    let path = format!("/admin/licenses/import?guildId={GUILD}&layout=gumroad&type=team&ownerColumn=discord");
    let ask =
        || world.post(&path).key(&secret).header("content-type", "text/csv").header("idempotency-key", "one");
    let first = ask().raw(file.clone()).await.ok(200);
    let again = ask().raw(file).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(200), first);
    let told = world.post("/licenses/validate").key(&secret).json(&json!({ "key": "AAAA-1" })).await.ok(200);
    let license = &told["license"];
    assert_eq!(license["userId"], ADA);
    assert_eq!(license["privateMetadata"], json!({ "Purchase ID": "a1==", "Order Number": "17" }));
    // Names and addresses of buyers stand nowhere.
    let history = format!("/licenses/{}/history", license["id"].as_str().unwrap());
    let history = world.get(&history).token("operator").empty().await.ok(200).to_string();
    assert!(!history.contains("example.com") && !history.contains("AAAA-1"), "{history}");
}
