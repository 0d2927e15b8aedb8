//! Log files on a real disk, a full one, and pipes that nobody reads.

use std::io::Read as _;

use super::*;

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Lines to a file of at most about so many bytes; looks at it after each line.
fn rotating(path: &Path, longest: u64) -> Lines {
    let rotation =
        Rotation { path: path.to_owned(), longest, look_every: 0, written: 0, streams: Streams::default() };
    Lines::to(append(path), Some(rotation)).unwrap()
}

fn write(lines: &Lines, line: &str) {
    let mut writer = lines.make_writer();
    writer.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Everything that is kept, the oldest first.
fn kept(path: &Path) -> Vec<String> {
    let name = |number| match number {
        0 => path.display().to_string(),
        _ => format!("{}.{number}", path.display()),
    };
    let texts = (0..=FILES).rev().map(|number| fs::read_to_string(name(number)).unwrap_or_default());
    texts.flat_map(|text| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn rotation_loses_no_line_and_tears_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.log");
    let lines = rotating(&path, 2000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let lines = &lines;
            scope.spawn(move || {
                (0..50)
                    .for_each(|number| write(lines, &format!("line {thread}.{number:02} {}", "x".repeat(20))))
            });
        }
    });
    let mut all = kept(&path);
    assert!(fs::metadata(&path).unwrap().len() < 2000 + 40, "the file was rotated");
    assert_eq!(all.len(), 200);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200);
    assert!(all.iter().all(|line| line.starts_with("line ") && line.len() == 30), "{all:?}");
}

#[test]
fn only_so_many_files_are_kept_and_the_newest_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.log");
    let lines = rotating(&path, 100);
    (0..1000).for_each(|number| write(&lines, &format!("{number:09}")));
    let all = kept(&path);
    let newest: Vec<_> = (1000 - all.len()..1000).map(|number| format!("{number:09}")).collect();
    assert_eq!(all, newest);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES as usize);
}

#[test]
fn a_rotation_that_was_cut_off_is_finished_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.log");
    let lines = rotating(&path, 100);
    (0..35).for_each(|number| write(&lines, &format!("{number:09}")));
    // As after a crash in the middle: a number is missing, the name itself too.
    fs::rename(folder.path().join("own.log.1"), folder.path().join("own.log.2")).unwrap();
    fs::remove_file(&path).unwrap();
    (35..70).for_each(|number| write(&lines, &format!("{number:09}")));
    let all = kept(&path);
    assert_eq!(all.last().unwrap(), "000000069");
    // The first one after the removal went to the file that has no name any more; it led to the look that found out.
    assert!((36..70).all(|number| all.contains(&format!("{number:09}"))), "{all:?}");
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.log");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let lines = Lines::to(full, None).unwrap();
    (0..3).for_each(|_| write(&lines, "lost"));
    lines.sink().out = append(&path);
    (0..2).for_each(|_| write(&lines, "kept"));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "3 log lines were lost here: the disk was full or nobody read\nkept\nkept\n");
}

#[test]
fn nobody_waits_for_a_reader_who_does_not_read() {
    let (mut reader, writer) = io::pipe().unwrap();
    let lines = Lines::to(File::from(std::os::fd::OwnedFd::from(writer)), None).unwrap();
    let long = "x".repeat(10_000);
    (0..50).for_each(|_| write(&lines, &long));
    let dropped = lines.sink().dropped;
    assert!(dropped > 0 && dropped < 50, "{dropped}");
    let mut read = vec![0; 1 << 16];
    let _ = reader.read(&mut read).unwrap();
    write(&lines, "read again");
    drop(lines);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    let note =
        format!("\n{dropped} log lines were lost here: the disk was full or nobody read\nread again\n");
    assert!(rest.ends_with(&note), "{}", &rest[rest.len().saturating_sub(200)..]);
}

#[test]
fn a_file_that_cannot_be_rotated_is_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.log");
    // A folder that is not empty stands where the oldest file would go.
    fs::create_dir_all(folder.path().join("own.log.4/x")).unwrap();
    let lines = rotating(&path, 10);
    (0..30).for_each(|number| write(&lines, &format!("line {number:02}")));
    let all = kept_files(folder.path());
    assert!((0..30).all(|number| all.contains(&format!("line {number:02}\n"))), "{all}");
    assert!(all.contains("cannot be rotated: "), "{all}");
}

/// The content of all files in a folder, in any order.
fn kept_files(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.is_file()).map(|file| fs::read_to_string(file).unwrap()).collect()
}
