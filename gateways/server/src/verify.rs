//! What `verify` and `rebuild` found, as JSON and as lines for people. The looking itself is done by the store and
//! by the read side.

use api::OperatorError;
use commands::store::LogCheck;
use projections::rebuild::{self, Difference, VerifyReport};
use projections::{Parked, Queries, QueryError, SealReport};
use serde_json::{Value, json};

use crate::long::Progress;
use crate::output::cell;

/// What a look at the log and at every read model found. `ok` says whether all is as it should be.
pub(crate) fn report(log: &LogCheck, seal: &SealReport, models: Option<&VerifyReport>) -> Value {
    let fault = log.fault.as_ref().map(|fault| json!({ "position": fault.position, "what": fault.what }));
    let broken = seal.fault.as_ref().map(|fault| json!({ "position": fault.position, "what": fault.what }));
    let rows: Vec<Value> = models
        .map_or(&[][..], |models| &models.models)
        .iter()
        .map(|model| {
            let differences: Vec<Value> = model.differences.iter().map(difference).collect();
            json!({ "name": model.name, "position": model.position, "rows": model.rows, "differences": differences })
        })
        .collect();
    json!({
        "ok": log.fault.is_none() && seal.fault.is_none() && models.is_some_and(VerifyReport::is_clean),
        "parked": models.map(|models| parked(&models.parked)),
        "log": { "head": log.head, "sound": log.sound, "fault": fault, "order": models.and_then(|m| m.log.as_ref()) },
        "seal": {
            "sealed": seal.sealed,
            "unsealed": seal.unsealed,
            "checkpoints": seal.checkpoints,
            "keyFingerprint": seal.key_fingerprint,
            "fault": broken,
        },
        "models": rows,
    })
}

/// Aggregates that read models leave out.
pub(crate) fn parked(parked: &[Parked]) -> Vec<Value> {
    let one = |one: &Parked| {
        json!({
            "model": one.model, "aggregate": format!("{}:{}", one.kind, one.id), "position": one.position,
            "error": one.error,
        })
    };
    parked.iter().map(one).collect()
}

fn difference(difference: &Difference) -> Value {
    match difference {
        Difference::Live(id) => json!({ "id": id, "in": "live" }),
        Difference::Rebuilt(id) => json!({ "id": id, "in": "rebuilt" }),
    }
}

/// Builds one read model anew, or `all` of them, and says how far it is.
///
/// # Errors
/// [`OperatorError::Invalid`] for an unknown name; otherwise what kept it from being built.
pub(crate) async fn rebuild(
    queries: &Queries,
    name: &str,
    progress: &Progress,
) -> Result<Value, OperatorError> {
    let names = if name == "all" { rebuild::names() } else { vec![name] };
    let mut built = Vec::new();
    for name in names {
        let begun = std::time::Instant::now();
        let mut say = |at: rebuild::Progress| {
            progress.say(format!("{name}: {} of {} events", at.done, at.total));
        };
        let done = rebuild::rebuild(queries, name, &mut say).await.map_err(|error| match error {
            QueryError::UnknownModel(_) => {
                OperatorError::Invalid { member: "name", detail: error.to_string() }
            }
            other => OperatorError::Unavailable(other.to_string()),
        })?;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        built.push(json!({ "name": name, "position": done.position, "millis": millis }));
    }
    Ok(json!({ "rebuilt": built }))
}

/// The report for people.
pub(crate) fn lines(report: &Value) -> String {
    let mut lines = Vec::new();
    let log = &report["log"];
    let damage = [cell(log, "/fault/what"), cell(log, "/order")].join(" ");
    match damage.trim() {
        "" => lines.push(format!("log: {} events, whole", log["head"])),
        what => lines.push(format!("log: DAMAGED, sound up to {}: {what}", log["sound"])),
    }
    let seal = &report["seal"];
    lines.push(match cell(seal, "/fault/what").as_str() {
        "" => format!(
            "seal: {} events as they were sealed and signed in {} checkpoints, {} not yet sealed; key {}",
            seal["sealed"],
            seal["checkpoints"],
            seal["unsealed"],
            cell(seal, "/keyFingerprint")
        ),
        what => format!("seal: BROKEN at position {}: {what}", seal["fault"]["position"]),
    });
    for model in report["models"].as_array().into_iter().flatten() {
        let (name, rows) = (cell(model, "/name"), &model["rows"]);
        match model["differences"].as_array().map_or(&[][..], Vec::as_slice) {
            [] => lines.push(format!("{name}: {rows} rows, equal to a rebuild at {}", model["position"])),
            some => {
                let ids: Vec<String> = some.iter().map(|one| cell(one, "/id")).collect();
                lines.push(format!("{name}: DIFFERS from a rebuild: {}", ids.join(", ")));
            }
        }
    }
    for one in report["parked"].as_array().into_iter().flatten() {
        let (model, aggregate, error) = (cell(one, "/model"), cell(one, "/aggregate"), cell(one, "/error"));
        lines.push(format!(
            "{model}: LEAVES OUT {aggregate} from event {} on: {error} (`dca-auth rebuild {model}` tries it again)",
            one["position"]
        ));
    }
    lines.join("\n")
}

/// What was rebuilt, for people.
pub(crate) fn rebuilt(answer: &Value) -> String {
    let built = answer["rebuilt"].as_array().into_iter().flatten();
    let lines = built.map(|one| {
        format!("{}: built anew up to {} in {} ms", cell(one, "/name"), one["position"], one["millis"])
    });
    lines.collect::<Vec<_>>().join("\n")
}
