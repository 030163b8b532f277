//! The directory of YAML that fleetgate is given.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::objects::{self, Answers, Files, Hosts, RouteId, Target, service_name};

/// Routes that share one Service.
const ROUTES_PER_SERVICE: usize = 100;
/// Routes that have a file of their own even if the others share one, so that they can be edited.
const EDITABLE: usize = 10;

/// Ports that the objects point to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Of the Gateway's listener.
    pub(crate) listener: u16,
    /// Of the backend of every Service.
    pub(crate) backend: u16,
}

/// What the directory holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) routes: usize,
    pub(crate) hosts: Hosts,
    pub(crate) files: Files,
    pub(crate) answers: Answers,
}

/// The generator, and where it writes.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    staging: PathBuf,
    layout: Layout,
}

impl Directory {
    /// A directory `config` below `parent`, not yet written.
    pub(crate) fn new(parent: &Path, layout: Layout) -> Directory {
        Directory { root: parent.join("config"), staging: parent.join("staging"), layout }
    }

    /// Where fleetgate shall look.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes all objects.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(&self, ports: Ports) -> anyhow::Result<()> {
        fs::create_dir_all(self.root.join("routes")).context("cannot create the config directory")?;
        fs::create_dir_all(&self.staging).context("cannot create the staging directory")?;
        self.put("gateway.yaml", &objects::gateway(ports.listener))?;
        for service in 0..self.services() {
            self.put(&format!("{}.yaml", service_name(service)), &objects::service(service))?;
            self.put(&slice_file(service), &objects::slice(service, ports.backend))?;
        }
        let mut together = String::new();
        for route in 0..self.layout.routes {
            let yaml = self.route(route, None);
            if self.layout.files == Files::One && route >= EDITABLE {
                let _ = write!(together, "---\n{yaml}");
            } else {
                self.put(&route_file(route), &yaml)?;
            }
        }
        if together.is_empty() { Ok(()) } else { self.put("routes.yaml", &together) }
    }

    /// Writes a file as an editor or a deploy script should: whole, under its name only when complete.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn put(&self, file: &str, content: &str) -> anyhow::Result<()> {
        let draft = self.staging.join("draft.yaml");
        fs::write(&draft, content)
            .and_then(|()| fs::rename(&draft, self.root.join(file)))
            .with_context(|| format!("cannot write {file} in {}", self.root.display()))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(&self, file: &str) -> anyhow::Result<()> {
        fs::remove_file(self.root.join(file)).with_context(|| format!("cannot remove {file}"))
    }

    /// Services in the directory; at least two, so that one can change while another must not.
    pub(crate) fn services(&self) -> usize {
        self.layout.routes.div_ceil(ROUTES_PER_SERVICE).max(2)
    }

    /// Service of a route.
    pub(crate) fn service_of(&self, route: usize) -> usize {
        route % self.services()
    }

    /// A route that no step changes and that must always answer: the last one not of service 0.
    pub(crate) fn steady_route(&self) -> usize {
        (0..self.layout.routes).rev().find(|route| self.service_of(*route) != 0).unwrap_or(1)
    }

    /// Up to `count` routes of the base at equal distances, the first and the last among them.
    pub(crate) fn spread(&self, count: usize) -> Vec<usize> {
        let last = self.layout.routes.saturating_sub(1);
        let count = count.clamp(1, self.layout.routes.max(1));
        (0..count).map(|place| place * last / (count - 1).max(1)).collect()
    }

    /// How to reach a route of the base.
    pub(crate) fn target(&self, route: usize) -> Target {
        self.layout.hosts.target(RouteId::Base(route))
    }

    /// How to reach the route that [`Directory::extra`] makes.
    pub(crate) fn extra_target(&self, number: usize) -> Target {
        self.layout.hosts.target(RouteId::Extra(number))
    }

    /// YAML of a route of the base, with a response header `x-edit` if `edit` is given.
    pub(crate) fn route(&self, route: usize, edit: Option<&str>) -> String {
        let Layout { hosts, answers, .. } = self.layout;
        objects::route(RouteId::Base(route), hosts, answers, self.service_of(route), edit)
    }

    /// YAML of a route that comes and goes.
    pub(crate) fn extra(&self, number: usize) -> String {
        objects::route(RouteId::Extra(number), self.layout.hosts, self.layout.answers, 1, None)
    }
}

/// File of a route of the base that can be edited.
pub(crate) fn route_file(route: usize) -> String {
    format!("routes/{}.yaml", RouteId::Base(route).name())
}

/// File of a route that comes and goes.
pub(crate) fn extra_file(number: usize) -> String {
    format!("routes/{}.yaml", RouteId::Extra(number).name())
}

/// File of a Service's EndpointSlice.
pub(crate) fn slice_file(service: usize) -> String {
    format!("{}-endpoints.yaml", service_name(service))
}

#[cfg(test)]
mod tests {
    use super::{Directory, Layout, Ports};
    use crate::objects::{Answers, Files, Hosts};

    fn layout(routes: usize, files: Files) -> Layout {
        Layout { routes, hosts: Hosts::Own, files, answers: Answers::Backend }
    }

    fn files(routes: usize, files: Files) -> (tempfile::TempDir, Directory, usize) {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path(), layout(routes, files));
        directory.write(Ports { listener: 1, backend: 2 }).unwrap();
        let count = std::fs::read_dir(directory.root().join("routes")).unwrap().count();
        (parent, directory, count)
    }

    #[test]
    fn many_files_hold_a_route_each() {
        let (_keep, directory, count) = files(250, Files::Many);
        assert_eq!((count, directory.services()), (250, 3));
        assert!(directory.root().join("s0002-endpoints.yaml").exists());
        assert!(!directory.root().join("routes.yaml").exists());
    }

    #[test]
    fn one_file_holds_all_but_the_editable_routes() {
        let (_keep, directory, count) = files(25, Files::One);
        assert_eq!(count, 10);
        let text = std::fs::read_to_string(directory.root().join("routes.yaml")).unwrap();
        assert_eq!(text.matches("kind: HTTPRoute").count(), 15);
    }

    #[test]
    fn the_steady_route_is_not_of_the_service_whose_endpoints_change() {
        for routes in [10, 11, 100, 101, 1000] {
            let directory = Directory::new("/d".as_ref(), layout(routes, Files::Many));
            let steady = directory.steady_route();
            assert_ne!(directory.service_of(steady), 0);
            assert!(steady >= routes - 2);
        }
    }

    #[test]
    fn a_spread_has_both_ends() {
        let spread = |routes, count| Directory::new("/d".as_ref(), layout(routes, Files::Many)).spread(count);
        assert_eq!(spread(10, 4), [0, 3, 6, 9]);
        assert_eq!(spread(3, 100), [0, 1, 2]);
        assert_eq!(spread(100_000, 1), [0]);
    }
}
