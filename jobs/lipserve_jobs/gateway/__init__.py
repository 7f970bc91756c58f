"""The HTTP interface of jobs, and its page: it takes, tells and gives, and makes nothing itself."""
