//! The files that are generated or released: the image, its bill of materials, the reference of the API, the chart's generated files,
//! and the pages as a site.

pub mod chart;
pub mod image;
pub mod reference;
pub mod sbom;
pub mod site;
