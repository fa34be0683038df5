//! The files that are generated or released: the image, its bill of materials, the reference of the API, the chart's generated files,
//! the pages as a site,
//! and the recording of the demo.

pub mod chart;
pub mod image;
pub mod recording;
pub mod reference;
pub mod sbom;
pub mod site;
