/* A shared object that is no channel module. */
int fault_no_symbol(void);

int fault_no_symbol(void)
{
    return 0;
}
