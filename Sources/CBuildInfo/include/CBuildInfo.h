// What is known of a build only when it is made.
#pragma once

// The commit's short name, with "-dirty" if files differed from it; empty if nobody said it (SLUICE_COMMIT).
const char *sluice_commit(void);
