//! The files that are generated or released: the image, its bill of materials, the reference of the API, and the chart's generated files.

pub mod chart;
pub mod image;
pub mod reference;
pub mod sbom;
