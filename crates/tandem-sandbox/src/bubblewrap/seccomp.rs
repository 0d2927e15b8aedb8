//! The filter of system calls.
//!
//! A list of what is refused, not of what is allowed: apps bring compiled extensions of any kind, and each new libc uses
//! new calls. Refused is what gives code without rights a way to more of the kernel than it needs: namespaces, mounts,
//! keys, io_uring, bpf, modules, and the rarely walked families and protocols of sockets. Refused calls fail with EPERM,
//! so that programs fall back or say what they miss; a few answer ENOSYS where libc falls back on that alone. Calls by the
//! interface of another architecture (32 bits) end the process. Decision 019 has the list for people.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

/// Refused whatever the arguments.
const REFUSED: &[libc::c_long] = &[
    // Namespaces of others, and files by handle past all mounts.
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    // Mounts. Without rights these fail anyway; two locks are better than one.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    // Keys are not kept apart by namespaces.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Large parts of the kernel that have often been broken into.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    // One small number for the whole machine bounds what all users have together.
    libc::SYS_io_setup,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// Of Linux 6.15, and unknown to libc.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// What `personality` may be set to: 64 and 32 bits, each also with an old kernel's number, and the question what it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Protocols over IP that apps may speak. Others make the kernel load modules, or are not seen by packet rules.
const PROTOCOLS: [libc::c_int; 5] =
    [0, libc::IPPROTO_ICMP, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMPV6];

/// Types of sockets over IP that apps may open, which are those of TCP and UDP. Each other belongs to a protocol of its
/// own, and type 10 to another family.
const TYPES: [u64; 2] = [libc::SOCK_STREAM as u64, libc::SOCK_DGRAM as u64];

/// Families of sockets that apps may open; packet, vsock, netlink's cousins and the rest are refused.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The type of a socket without its flags.
const SOCKET_TYPE: u64 = 0xf;

/// System calls of the x32 interface have this bit; through it every rule by number could be walked around.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("build the filter of system calls for this kind of processor")]
    Architecture(#[source] seccompiler::BackendError),
    #[error("build the filter of system calls")]
    Rules(#[source] seccompiler::BackendError),
}

/// The filter as bubblewrap reads it: an array of `struct sock_filter` in the machine's own form.
pub(super) fn program() -> Result<Vec<u8>, Error> {
    let architecture = std::env::consts::ARCH.try_into().map_err(Error::Architecture)?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let rules = rules().map_err(Error::Rules)?;
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).map_err(Error::Rules)?;
    let filter: BpfProgram = filter.try_into().map_err(Error::Rules)?;
    Ok(missing_calls().iter().chain(&filter).flat_map(bytes).collect())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let user_namespace = || has_bits(0, libc::CLONE_NEWUSER as u64);
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![user_namespace()?])?]);
    rules.insert(libc::SYS_unshare, vec![SeccompRule::new(vec![user_namespace()?])?]);
    let other_family: Result<Vec<_>, _> = FAMILIES.iter().map(|family| differs(0, *family as u64)).collect();
    // Netlink sockets are raw by name only.
    let raw = vec![
        differs(0, libc::AF_NETLINK as u64)?,
        compare(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), libc::SOCK_RAW as u64)?,
    ];
    // libc asks for addresses and routes by it; the rest is for who runs the machine.
    let netlink = vec![is(0, libc::AF_NETLINK as u64)?, differs(2, libc::NETLINK_ROUTE as u64)?];
    let mut sockets =
        vec![SeccompRule::new(other_family?)?, SeccompRule::new(raw)?, SeccompRule::new(netlink)?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut other_protocol = vec![is(0, family as u64)?];
        for protocol in PROTOCOLS {
            other_protocol.push(differs(2, protocol as u64)?);
        }
        sockets.push(SeccompRule::new(other_protocol)?);
        // With protocol 0 the kernel takes the first that has the type, and loads its module.
        let other_types = (0..=SOCKET_TYPE).filter(|kind| !TYPES.contains(kind));
        for kind in other_types {
            let of_type = compare(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), kind)?;
            sockets.push(SeccompRule::new(vec![is(0, family as u64)?, of_type])?);
        }
    }
    rules.insert(libc::SYS_socket, sockets);
    let not_unix = vec![differs(0, libc::AF_UNIX as u64)?];
    rules.insert(libc::SYS_socketpair, vec![SeccompRule::new(not_unix)?]);
    let other_personality: Result<Vec<_>, _> = PERSONALITIES.iter().map(|known| differs(0, *known)).collect();
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(other_personality?)?]);
    // Pushing characters into a terminal, and selecting text in one, act for whoever sits at it.
    let typing = vec![compare(1, SeccompCmpOp::Eq, libc::TIOCSTI)?];
    let selecting = vec![compare(1, SeccompCmpOp::Eq, libc::TIOCLINUX)?];
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(typing)?, SeccompRule::new(selecting)?]);
    Ok(rules)
}

fn has_bits(argument: u8, bits: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    compare(argument, SeccompCmpOp::MaskedEq(bits), bits)
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    compare(argument, SeccompCmpOp::Eq, value)
}

fn differs(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    compare(argument, SeccompCmpOp::Ne, value)
}

fn compare(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// The head of the program: calls that answer ENOSYS. `clone3` takes its flags in memory, which no filter can read;
/// libc falls back to `clone`. The x32 interface is not there at all. `seccompiler` has one action a filter and no
/// comparison of call numbers, hence by hand.
fn missing_calls() -> Vec<sock_filter> {
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let missing = step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    let mut head = vec![
        // The call's number is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_clone3 as u32),
        missing.clone(),
    ];
    #[cfg(target_arch = "x86_64")]
    head.extend([step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32), missing]);
    head
}

fn bytes(filter: &sock_filter) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&filter.code.to_ne_bytes());
    bytes[2] = filter.jt;
    bytes[3] = filter.jf;
    bytes[4..].copy_from_slice(&filter.k.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_the_kernels_limit() {
        let program = program().unwrap();
        assert_eq!(program.len() % 8, 0);
        assert!(program.len() / 8 < 4096);
    }
}
