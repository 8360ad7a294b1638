#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use polars::prelude::{Column, DataType, NamedFrom, Series, TimeUnit};
use proptest::prelude::*;

use super::*;
use crate::domain::record::{RECORD_POSITION, record_bytes};

/// Bounds under which a handful of records needs every part of the machinery.
const TINY: Bounds = Bounds {
    partition_records: 4,
    partition_bytes: 1 << 20,
    segment_records: 5,
    segment_bytes: 1 << 20,
    kept_bytes: 1 << 10,
    sample_keys_max: 64,
};

/// A key of two parts, and a value.
type Record = (Option<String>, i64, Option<f64>);

/// A record and its position.
type Numbered = (Record, u64);

fn key_columns() -> Vec<String> {
    vec!["account".to_owned(), "part".to_owned()]
}

fn frame(first: u64, records: &[Record]) -> DataFrame {
    let positions: Vec<u64> = (first..).take(records.len()).collect();
    let accounts: Vec<Option<&str>> = records.iter().map(|record| record.0.as_deref()).collect();
    let parts: Vec<i64> = records.iter().map(|record| record.1).collect();
    let scores: Vec<Option<f64>> = records.iter().map(|record| record.2).collect();
    let moments = Series::new("moment".into(), &parts)
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap();
    let columns = vec![
        Column::new("account".into(), accounts),
        Column::new("part".into(), parts),
        Column::new("score".into(), scores),
        moments.into(),
        Column::new(RECORD_POSITION.into(), positions),
    ];
    DataFrame::new(records.len(), columns).unwrap()
}

fn records_of(frame: &DataFrame) -> Vec<Numbered> {
    let accounts = frame.column("account").unwrap().str().unwrap().clone();
    let parts = frame.column("part").unwrap().i64().unwrap().clone();
    let scores = frame.column("score").unwrap().f64().unwrap().clone();
    let moments = frame
        .column("moment")
        .unwrap()
        .datetime()
        .unwrap()
        .physical()
        .clone();
    let positions = frame
        .column(RECORD_POSITION)
        .unwrap()
        .u64()
        .unwrap()
        .clone();
    let record = |index: usize| {
        assert_eq!(moments.get(index), parts.get(index));
        let record = (
            accounts.get(index).map(str::to_owned),
            parts.get(index).unwrap(),
            scores.get(index),
        );
        (record, positions.get(index).unwrap())
    };
    (0..frame.height()).map(record).collect()
}

fn write(folder: &Path, bounds: Bounds, frames: &[Vec<Record>]) -> Package {
    let mut writer = PackageWriter::bounded(folder, &key_columns(), bounds).unwrap();
    let mut first = 0;
    for records in frames {
        writer.push(&frame(first, records)).unwrap();
        first += records.len() as u64;
    }
    writer.finish().unwrap()
}

/// Everything in a package: unique records, then duplicates, each in the package's order.
fn contents(package: &Package) -> (Vec<Numbered>, Vec<Numbered>) {
    let partitions: Vec<Partition> = (0..package.partition_count())
        .map(|number| package.load(number).unwrap())
        .collect();
    let unique = partitions
        .iter()
        .flat_map(|partition| records_of(&partition.records))
        .collect();
    let duplicates = partitions
        .iter()
        .flat_map(|partition| records_of(&partition.duplicates))
        .collect();
    (unique, duplicates)
}

fn numbered(count: i64) -> Vec<Record> {
    (0..count)
        .map(|number| {
            (
                Some(format!("A{:04}", number * 7919 % count)),
                number,
                Some(0.5),
            )
        })
        .collect()
}

fn record() -> impl Strategy<Value = Record> {
    let account = prop_oneof![
        3 => "[a-c]{0,2}".prop_map(Some),
        1 => "\\PC{0,3}".prop_map(Some),
        1 => Just(Some("the same account over and over".to_owned())),
        1 => Just(None),
    ];
    (
        account,
        prop_oneof![Just(0), Just(-1), any::<i64>()],
        any::<Option<f64>>().prop_map(|score| score.filter(|score| !score.is_nan())),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_package_holds_what_was_pushed_in_key_order(
        frames in prop::collection::vec(prop::collection::vec(record(), 0..12), 0..8),
        partition_records in 1..9_u64,
        segment_records in 1..20_usize,
        sample_keys_max in 1..40_usize,
        kept_bytes in 0..8_192_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("package");
        let bounds = Bounds { partition_records, segment_records, sample_keys_max, kept_bytes, ..TINY };
        let written = write(&place, bounds, &frames);
        let package = Package::open(&place).unwrap();

        let mut model: BTreeMap<(Option<String>, i64), Vec<Numbered>> = BTreeMap::new();
        for (position, record) in (0..).zip(frames.iter().flatten()) {
            model.entry((record.0.clone(), record.1)).or_default().push((record.clone(), position));
        }
        let unique: Vec<_> = model.values().filter(|records| records.len() == 1).flatten().cloned().collect();
        let duplicates: Vec<_> = model.values().filter(|records| records.len() > 1).flatten().cloned().collect();
        prop_assert_eq!(package.record_count(), (unique.len() + duplicates.len()) as u64);
        prop_assert_eq!(contents(&package), (unique, duplicates));
        prop_assert_eq!(contents(&written), contents(&package));
    }

    #[test]
    fn each_record_meets_the_one_of_its_key_in_another_package(
        records in prop::collection::vec(record(), 0..40),
        others in prop::collection::vec(record(), 0..40),
        partition_records in 1..9_u64,
        partition_records_of_others in 1..9_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let package = write(&folder.path().join("package"), Bounds { partition_records, ..TINY }, &[records]);
        let mut model: BTreeMap<(Option<String>, i64), Record> = BTreeMap::new();
        // Some of the keys are the same.
        let shared = contents(&package).0.into_iter().step_by(2).map(|(record, _)| record);
        for (number, (account, part, _)) in (0_i32..).zip(others.into_iter().chain(shared)) {
            model.insert((account.clone(), part), (account, part, Some(number.into())));
        }
        let others: Vec<Record> = model.values().cloned().collect();
        let bounds = Bounds { partition_records: partition_records_of_others, ..TINY };
        let others = write(&folder.path().join("others"), bounds, &[others]);
        let mut beside = others.beside();
        for partition in 0..package.partition_count() {
            let records = package.load(partition).unwrap().records;
            let met = beside.records(&records).unwrap();
            for (index, (record, _)) in records_of(&records).into_iter().enumerate() {
                let scores = met.as_ref().map(|met| met.column("score").unwrap().f64().unwrap().get(index));
                let expected = model.get(&(record.0, record.1)).and_then(|other| other.2);
                prop_assert_eq!(scores.flatten(), expected);
            }
            prop_assert!(met.is_none_or(|met| met.height() == records.height()));
        }
    }
}

#[test]
fn a_package_without_records_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("package");
    write(&place, BOUNDS, &[]);
    let package = Package::open(&place).unwrap();
    assert_eq!((package.record_count(), package.partition_count()), (0, 0));
    write(&place, BOUNDS, &[Vec::new()]);
    assert_eq!(Package::open(&place).unwrap().partition_count(), 0);
}

#[test]
fn partitions_are_about_as_large_as_asked_whatever_the_order_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        partition_records: 500,
        segment_records: 700,
        sample_keys_max: 1000,
        ..TINY
    };
    let alternating: Vec<Record> = (0..8000)
        .map(|number| (Some(format!("{}", number % 2)), number, None))
        .collect();
    let ascending: Vec<Record> = (0..8000).map(|number| (None, number, None)).collect();
    for records in [numbered(8000), alternating, ascending] {
        let package = write(&folder.path().join("package"), bounds, &[records]);
        let largest = package
            .manifest
            .partitions
            .iter()
            .map(|entry| entry.records)
            .max()
            .unwrap();
        assert!(largest < 1000, "{largest}");
        assert_eq!(package.partition_count(), 16);
    }
}

#[test]
fn wide_records_make_more_partitions() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        partition_bytes: 10_000,
        segment_bytes: 20_000,
        ..BOUNDS
    };
    let records: Vec<Record> = (0..100)
        .map(|number| (Some("x".repeat(1000)), number, None))
        .collect();
    let package = write(&folder.path().join("package"), bounds, &[records]);
    assert!(
        (8..=16).contains(&package.partition_count()),
        "{}",
        package.partition_count()
    );
}

#[test]
fn wide_records_side_by_side_are_not_all_in_one_partition() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        partition_bytes: 10_000,
        segment_bytes: 20_000,
        ..BOUNDS
    };
    let narrow = (0..2_000).map(|number| (Some("narrow".to_owned()), number, None));
    let wide = (0..50).map(|number| (Some("wide".repeat(250)), number, None));
    let package = write(
        &folder.path().join("package"),
        bounds,
        &[narrow.chain(wide).collect()],
    );
    let bytes = |number: usize| {
        record_bytes(&package.load(number).unwrap().records)
            .iter()
            .sum::<u64>()
    };
    let largest = (0..package.partition_count()).map(bytes).max().unwrap();
    assert!(largest < 20_000, "{largest}");
}

#[test]
fn one_key_over_and_over_is_all_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let package = write(
        &folder.path().join("package"),
        TINY,
        &[vec![(Some("A".to_owned()), 1, None); 100]],
    );
    let (unique, duplicates) = contents(&package);
    assert_eq!(
        (unique.len(), duplicates.len(), package.partition_count()),
        (0, 100, 1)
    );
}

#[test]
fn frames_that_differ_in_their_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PackageWriter::create(&folder.path().join("package"), &key_columns()).unwrap();
    let records = frame(0, &numbered(3));
    writer.push(&records).unwrap();
    assert!(writer.push(&records.drop("score").unwrap()).is_err());
}

#[test]
fn a_package_that_is_never_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("package");
    let mut writer = PackageWriter::bounded(&place, &key_columns(), TINY).unwrap();
    writer.push(&frame(0, &numbered(50))).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(Package::open(&place).is_err());
}

#[test]
fn what_a_killed_process_left_is_no_package_and_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("package");
    let mut killed = PackageWriter::bounded(&place, &key_columns(), TINY).unwrap();
    killed.push(&frame(0, &numbered(50))).unwrap();
    std::mem::forget(killed);
    assert!(matches!(
        Package::open(&place),
        Err(PackageError::Io { .. })
    ));
    write(&place, TINY, &[numbered(9)]);
    assert_eq!(Package::open(&place).unwrap().record_count(), 9);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_package_begun_anew_replaces_the_one_that_stands() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("package");
    write(&place, TINY, &[numbered(50)]);
    write(&place, TINY, &[numbered(3)]);
    assert_eq!(Package::open(&place).unwrap().record_count(), 3);
}

#[test]
fn a_changed_byte_in_any_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("package");
    write(&place, TINY, &[numbered(30)]);
    for entry in fs::read_dir(&place).unwrap() {
        let file = entry.unwrap().path();
        let whole = fs::read(&file).unwrap();
        for index in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            fs::write(&file, &damaged).unwrap();
            let error = load_all(&place).expect_err(&format!("byte {index} of {}", file.display()));
            assert!(
                matches!(
                    error,
                    PackageError::Damaged { .. } | PackageError::Newer { .. }
                ),
                "{error:?}"
            );
            assert!(error.hint().is_some());
        }
        for shorter in [&whole[..whole.len() - 1], &[]] {
            fs::write(&file, shorter).unwrap();
            assert!(matches!(
                load_all(&place),
                Err(PackageError::Damaged { .. })
            ));
        }
        fs::write(&file, &whole).unwrap();
    }
    load_all(&place).unwrap();
    fs::remove_file(place.join(&Package::open(&place).unwrap().manifest.partitions[0].file))
        .unwrap();
    assert!(matches!(
        Package::open(&place),
        Err(PackageError::Damaged { .. })
    ));
}

fn load_all(place: &Path) -> Result<(), PackageError> {
    let package = Package::open(place)?;
    (0..package.partition_count()).try_for_each(|number| package.load(number).map(drop))
}

#[test]
fn a_newer_format_is_refused_politely() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("package");
    write(&place, TINY, &[numbered(3)]);
    let manifest = place.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = Package::open(&place).unwrap_err();
    let expected = format!(
        "`{}` has format 2, which this version does not know",
        manifest.display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("newer writeback"));
}

#[test]
fn only_the_owner_reads_a_package_and_no_link_leads_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("runs/1/package");
    write(&place, TINY, &[numbered(30)]);
    assert_eq!(
        fs::metadata(&place).unwrap().permissions().mode() & 0o777,
        0o700
    );
    for entry in fs::read_dir(&place).unwrap() {
        assert_eq!(
            entry.unwrap().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let link = folder.path().join("link");
    symlink(&place, &link).unwrap();
    assert!(Package::open(&link).is_err());
    assert!(PackageWriter::create(&link, &key_columns()).is_err());
    assert!(Package::open(&place).is_ok());
}
