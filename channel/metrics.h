/* Metrics as Prometheus reads them, out of a census. */
#ifndef PLX_CHANNEL_METRICS_H
#define PLX_CHANNEL_METRICS_H

#include "channel/census.h"

/* Content types: the text format 0.0.4, and OpenMetrics 1.0. */
#define PLX_METRICS_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define PLX_METRICS_OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Appends all metrics. open: in OpenMetrics (a counter's family has no "_total", "# EOF" at the
 * end). Each worker is a series of its own, named anew at each start, so that no counter ever goes
 * back; what is of the whole system has no label. */
void plx_metrics_write(const plx_census *census, bool open, plx_buf *out);

#endif
