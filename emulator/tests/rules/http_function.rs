//! A rotation function behind an HTTP endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use emulator::Config;
use emulator::function::HttpFunction;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::suite::functions::{FUNCTION, rotate};
use super::suite::wire::Wire;
use super::suite::{noon, serve};

/// An endpoint that writes down what it is asked, and says that the function failed at one step.
async fn recorder(fails_at: &'static str) -> (String, Arc<Mutex<Vec<(String, BTreeMap<String, String>, Value)>>>) {
    use axum::http::{HeaderMap, StatusCode, Uri};
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    let record = Arc::clone(&seen);
    let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: String| {
        let event: Value = serde_json::from_str(&body).unwrap();
        let failed = event["Step"] == fails_at;
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        record.lock().unwrap().push((uri.path().to_owned(), headers, event));
        async move {
            let mut headers = HeaderMap::new();
            if failed {
                headers.insert("x-amz-function-error", "Unhandled".parse().unwrap());
            }
            (StatusCode::OK, headers, r#"{"errorType":"RuntimeError","errorMessage":"hunter2"}"#)
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (endpoint, seen)
}

#[test]
fn over_http_a_function_is_invoked_in_lambdas_form_and_fails_by_a_header() {
    let runtime = Runtime::new().unwrap();
    let (emulator, server) = serve(&runtime, Config { clock: noon(), rotates_by_itself: false, ..Config::default() });
    let wire = Wire::to(&server.endpoint_url());
    let (endpoint, seen) = runtime.block_on(recorder("setSecret"));
    emulator.set_rotation_function(FUNCTION, Some(Arc::new(HttpFunction { endpoint })));
    let made = wire.make().unwrap();
    let new = rotate(&wire, &made.name, json!({})).unwrap();
    runtime.block_on(emulator.run_rotations());
    let calls = seen.lock().unwrap();
    let path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Arotate/invocations";
    assert_eq!(calls.iter().map(|call| call.0.as_str()).collect::<Vec<_>>(), [path, path]);
    assert_eq!(calls[0].1["x-amz-invocation-type"], "RequestResponse");
    assert_eq!(calls[0].2, json!({"Step": "createSecret", "SecretId": made.arn, "ClientRequestToken": new}));
    let why = emulator.rotation_events().pop().unwrap().error_message.unwrap();
    assert!(why.ends_with("during setSecret step: the function raised RuntimeError"), "{why}: the text of an error may quote a value");
}
