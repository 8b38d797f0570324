#include "CBuildInfo.h"

#ifndef SLUICE_COMMIT
#define SLUICE_COMMIT
#endif
#define TEXT_OF(word) #word
#define TEXT(word) TEXT_OF(word)

const char *sluice_commit(void) { return TEXT(SLUICE_COMMIT); }
