import { useParams } from '@tanstack/react-router'
import { Catalogue } from './catalogue.tsx'
import { ListPage } from './list-page.tsx'

export function CataloguePage() {
  const { provider } = useParams({ strict: false })
  return (
    <ListPage here="catalogue" open={provider !== undefined}>
      <Catalogue />
    </ListPage>
  )
}
