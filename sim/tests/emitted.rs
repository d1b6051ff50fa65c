//! S2:start-before-its-predecessor-is-finished, seed 4. Written by `procession replay --emit-test`.

#[test]
fn s2_start_before_its_predecessor_is_finished_seed_4() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S2 start-before-its-predecessor-is-finished
detail key=Some(0) msg=1 partition=0 position=4 epoch=1 at=22000000: msg=Some(0) at position=Some(3) is not
shrunk from 95 faults, 55 messages to 1 faults, 2 messages in 88 runs
seed 4
[config]
order = key
sequence-keys = -
keyless = unordered
partitions = 1
limit-messages = 2
limit-bytes = 4000
limit-partition-messages = 2
limit-partition-bytes = 4000
low-water-percent = 100
key-messages = 4294967295
message-bytes-max = 256
window = 64
window-pool = 64
retry-attempts = 2
retry-first = 1000000
retry-max = 1000000
retry-jitter = 0
handler-timeout = 12000000
cancel-grace = 10000000
on-hung = wait
stall-after = 1000000
parked-keys = 0
on-reset = earliest
expired = report
commit-every = 1000000
commit-messages = 1
commit-first = 1000000
commit-max = 1000000
commit-jitter = 0
map-bytes = 0
dedupe-ids = 0
dedupe-age = 600000000000
letter-first = 1000000
letter-max = 1000000
letter-jitter = 0
session-first = 1000000
session-max = 1000000
session-jitter = 0
jitter-seed = 7066489362841505310
[world]
profile = swarm
model = kafka
members = 1
messages = 2
keys = 2
lanes = 0
heal-at = 30000000
patience = 10000000000
ticks = 0
quantum = 1000000
lease = 600000000
concurrency = 4294967295
batch = 1
beat = 2000000000
crash-at = -
shake-at = -
calm-at = -
audit = no
latency = 1000000
[workload]
publish at=0 number=40 identity=40 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
publish at=0 number=42 identity=42 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
[faults]
handler-hang 40 1
[inputs]
1000000 m0 start
6000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=3 log-end=5 until=-
6000000 m0 poll cassdlkpwnrfxcasdlkpwnrfxggt
7000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
7000000 m0 poll casdlkpwnrfxgt
9000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=3 stamp=1 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=3f87badde417e7629dd87651f090719a bytes=1 expires=- sequence=- quarantine=- message=0
9000000 m0 poll casddlkpwnrfxcasdlkpwnrfxgt
10000000 m0 timeout
10000000 m0 poll casdlkpwnnrfxcasdlkpwnrfxgtt
10000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=4 stamp=2 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=a0156ad95b748b068ea81f9aac5ee39e bytes=1 expires=- sequence=- quarantine=- message=1
10000000 m0 poll casdlkpwnrfxgt
21000000 m0 timeout
21000000 m0 poll ccasdlkpwnrfxcasdlkpwnrfxgtt
22000000 m0 settle token=4294967296 outcome=cancelled message=0
22000000 m0 poll casd
[outputs]
582f7433 aa62ab29 05bfbf83 8001e823 55336b8d 9eec3f98 a8385a28 b430a63f
f3100453 6cc4def8 56bb0c2f 0b08096e 2678942a 120de415 e5972410
[digest]
2cff16a8ea224e75
"#;
