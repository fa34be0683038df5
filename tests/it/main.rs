//! One binary, since each test binary links the operator, the SDK and the test world anew.
#![allow(missing_docs, reason = "tests are sentences")]

mod crash;
mod definition;
mod replicas;
mod story;
mod support;
