//! The type of every HTTP response of the emulator.

use ::http::Response;
use http_body_util::Full;
use hyper::body::Bytes;

/// A whole response.
pub(crate) type HttpResponse = Response<Full<Bytes>>;
