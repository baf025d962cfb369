// distance: on a virtual machine two cores share a cache for some seconds and are far from each other for the next
// ones.
#pragma once

namespace bench {

/// Nanoseconds that a cache line takes from one core to the other and back. Both are busy for some milliseconds.
double distance_ns(int cpu, int other);

/// Returns when the two cores are about as near each other as this program has ever seen them, or when it has waited
/// for that for `patience` seconds in all. For measurements that are two to three times as slow when they are not: a
/// median over both tells which happened more often.
void wait_until_near(int cpu, int other, double patience = 120);

}  // namespace bench
