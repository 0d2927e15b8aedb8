//! Where the machine keeps its control groups.
//!
//! A machine has version 2 with its controllers, version 1 with a hierarchy per controller, or both at once (version 2
//! without controllers beside version 1 with them). All three are found in `/proc/self/mountinfo`, never guessed.

use std::path::{Path, PathBuf};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// Its name in both versions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

/// Roots of the hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hierarchies {
    /// Version 2.
    pub unified: Option<PathBuf>,
    /// Controllers that version 2 can give to its children.
    pub unified_controllers: Vec<Controller>,
    /// Version 1, where version 2 does not have the controller.
    pub legacy: Vec<(Controller, PathBuf)>,
}

impl Hierarchies {
    /// Looks at this machine. Finds nothing where `/proc` or control groups are missing.
    pub(crate) fn detect() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let controllers =
            |root: &Path| std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        Self::parse(&mounts, controllers)
    }

    fn parse(mounts: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut found = Self::default();
        let mut legacy = Vec::new();
        for mount in mounts.lines().filter_map(Mount::parse) {
            if mount.kind == "cgroup2" {
                found.unified.get_or_insert(mount.point);
            } else if mount.kind == "cgroup" {
                let has = |controller: &Controller| mount.options.split(',').any(|o| o == controller.name());
                legacy.extend(Controller::ALL.into_iter().filter(has).map(|c| (c, mount.point.clone())));
            }
        }
        let text = found.unified.as_deref().map(controllers).unwrap_or_default();
        let offered = |controller: &Controller| text.split_ascii_whitespace().any(|o| o == controller.name());
        found.unified_controllers = Controller::ALL.into_iter().filter(offered).collect();
        legacy.retain(|(controller, _)| !found.unified_controllers.contains(controller));
        found.legacy = legacy;
        found
    }

    /// Distinct roots, version 2 first: its group tells best who is alive.
    pub(crate) fn roots(&self) -> Vec<&Path> {
        let mut roots: Vec<&Path> = self.unified.as_deref().into_iter().collect();
        for (_, root) in &self.legacy {
            if !roots.contains(&root.as_path()) {
                roots.push(root);
            }
        }
        roots
    }

    /// Root of the hierarchy that limits this.
    pub(crate) fn root_of(&self, controller: Controller) -> Option<&Path> {
        if self.unified_controllers.contains(&controller) {
            return self.unified.as_deref();
        }
        self.legacy.iter().find(|(has, _)| *has == controller).map(|(_, root)| root.as_path())
    }

    /// Whether everything that can be limited is.
    pub(crate) fn is_whole(&self) -> bool {
        Controller::ALL.into_iter().all(|controller| self.root_of(controller).is_some())
    }

    /// For people: what life cycle and limits stand on, such as `v2, limits by v1`.
    pub(crate) fn describe(&self) -> String {
        let missing: Vec<_> = Controller::ALL
            .into_iter()
            .filter(|controller| self.root_of(*controller).is_none())
            .map(Controller::name)
            .collect();
        let base = match (&self.unified, self.legacy.is_empty()) {
            (None, true) => {
                return "no control groups: memory, CPU and process limits do not hold".to_owned();
            }
            (Some(_), true) => "control groups v2",
            (Some(_), false) => "control groups v2, limits by v1",
            (None, false) => "control groups v1",
        };
        if missing.is_empty() {
            return base.to_owned();
        }
        format!("{base}, no limit on {}", missing.join(" and "))
    }
}

struct Mount<'a> {
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// See proc_pid_mountinfo(5): fixed fields, optional ones, a hyphen, type, source, options of the super block.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let point = mount.split(' ').nth(4)?;
        // Blanks are written as octal escapes. Nobody mounts control groups there; such a mount is passed over.
        (!point.contains('\\')).then(|| Self { point: point.into(), kind, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n\
        39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    const HYBRID: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn a_machine_with_version_2_alone_uses_it_for_everything() {
        let found = Hierarchies::parse(V2, |_| "cpuset cpu io memory pids".to_owned());
        assert_eq!(found.roots(), [Path::new("/sys/fs/cgroup")]);
        assert_eq!(found.root_of(Controller::Memory), Some(Path::new("/sys/fs/cgroup")));
        assert_eq!(found.describe(), "control groups v2");
    }

    #[test]
    fn a_hybrid_machine_lives_by_version_2_and_limits_by_version_1() {
        let found = Hierarchies::parse(&format!("{V1}{HYBRID}"), |_| String::new());
        assert_eq!(found.unified, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found.roots()[0], Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(found.root_of(Controller::Cpu), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(found.describe(), "control groups v2, limits by v1");
    }

    #[test]
    fn a_machine_with_version_1_alone_works_too() {
        let found = Hierarchies::parse(V1, |_| unreachable!("there is no version 2"));
        assert_eq!((found.unified.as_ref(), found.roots().len()), (None, 3));
        assert_eq!(found.describe(), "control groups v1");
    }

    #[test]
    fn missing_controllers_are_told() {
        let found = Hierarchies::parse(V2, |_| "cpu pids".to_owned());
        assert_eq!(found.describe(), "control groups v2, no limit on memory");
        let none = Hierarchies::parse("22 1 0:5 / /proc rw - proc proc rw\n", |_| String::new());
        assert!(none.describe().contains("limits do not hold"));
    }
}
