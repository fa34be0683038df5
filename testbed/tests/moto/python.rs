//! The rotation function in Python, run with the boto3 that moto depends on.

use std::sync::Arc;

use emulator::{Config, RotationFunction, RotationStep};
use serde_json::{Value, json};
use testbed::python;
use tokio::runtime::Runtime;

use super::suite::functions::{CURRENT, FUNCTION, PENDING, PREVIOUS, VALUE, rotate};
use super::suite::wire::{Wire, name};
use super::suite::{noon, serve};

/// With a real function in Python, as a command and behind an endpoint.
#[test]
fn a_real_function_in_python_rotates_and_fails_at_each_step() {
    let runtime = Runtime::new().unwrap();
    let (emulator, server) = serve(&runtime, Config { clock: noon(), rotates_by_itself: false, ..Config::default() });
    let wire = Wire::to(&server.endpoint_url());
    let (endpoint, region) = (server.endpoint_url(), "us-east-1");
    let mut running = Vec::new();
    let mut functions: Vec<(Option<RotationStep>, Arc<dyn RotationFunction>)> =
        vec![(None, Arc::new(python::command(&endpoint, region, None).unwrap()))];
    for fails_at in [None].into_iter().chain(RotationStep::ALL.map(Some)) {
        let function = python::Served::start(&endpoint, region, fails_at).unwrap();
        functions.push((fails_at, Arc::new(function.function())));
        running.push(function);
    }
    for (fails_at, function) in functions {
        emulator.set_rotation_function(FUNCTION, Some(function));
        let made = wire.make_as(&name(), json!({"SecretString": VALUE})).unwrap();
        let new = rotate(&wire, &made.name, json!({})).unwrap();
        runtime.block_on(emulator.run_rotations());
        let last = emulator.rotation_events().pop().unwrap();
        let (old_labels, new_labels) = if fails_at.is_some() { (CURRENT, PENDING) } else { (PREVIOUS, CURRENT) };
        wire.labels_are(&made.name, &[(&made.first, old_labels), (&new, new_labels)]).unwrap_or_else(|why| panic!("{why}: {last:?}"));
        match fails_at {
            None => {
                let value: Value = serde_json::from_str(&wire.value(&made.name, "AWSCURRENT").unwrap()).unwrap();
                assert!(value["username"] == "admin" && value["password"] != "first");
            }
            Some(step) => {
                let why = last.error_message.unwrap();
                assert!(why.ends_with(&format!("during {} step: the function raised RuntimeError", step.as_str())), "{why}");
            }
        }
    }
}
